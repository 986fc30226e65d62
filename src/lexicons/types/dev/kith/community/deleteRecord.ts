import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';
import * as DevKithCommunityDefs from "./defs.ts";

const _mainSchema = /*#__PURE__*/ v.procedure(
	"dev.kith.community.deleteRecord",
	{
		"params": null,
		"input": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					"collection": /*#__PURE__*/ v.nsidString(),
					/**
					 * The community.
					 */
					"communityDid": /*#__PURE__*/ v.didString(),
					/**
					 * @maxLength 512
					 */
					"rkey": /*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.recordKeyString(),
						[/*#__PURE__*/ v.stringLength(0, 512)]
					),
					"swapCommit": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.cidString()),
					"swapRecord": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.cidString()),
				}
			),
		},
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					get "commit"() {
						return /*#__PURE__*/ v.optional(DevKithCommunityDefs.commitSchema)
					},
				}
			),
		}
	}
);
type main$schematype = typeof _mainSchema;

export interface mainSchema extends main$schematype {}
export const mainSchema = _mainSchema as mainSchema;

export interface $params {}

export interface $input extends v.InferXRPCBodyInput<mainSchema['input']> {}

export interface $output extends v.InferXRPCBodyInput<mainSchema['output']> {}
declare module '@atcute/lexicons/ambient' {
	interface XRPCProcedures {
		"dev.kith.community.deleteRecord": mainSchema;
	}
}
