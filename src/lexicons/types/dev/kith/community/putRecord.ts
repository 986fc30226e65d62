import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';
import * as DevKithCommunityDefs from "./defs.ts";

const _mainSchema = /*#__PURE__*/ v.procedure(
	"dev.kith.community.putRecord",
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
					"record": /*#__PURE__*/ v.unknown(),
					/**
					 * @maxLength 512
					 */
					"rkey": /*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.recordKeyString(),
						[/*#__PURE__*/ v.stringLength(0, 512)]
					),
					"swapCommit": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.cidString()),
					"swapRecord": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.nullable(/*#__PURE__*/ v.cidString())),
					/**
					 * As com.atproto.repo has it.
					 */
					"validate": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.boolean()),
				}
			),
		},
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					"cid": /*#__PURE__*/ v.cidString(),
					get "commit"() {
						return /*#__PURE__*/ v.optional(DevKithCommunityDefs.commitSchema)
					},
					"uri": /*#__PURE__*/ v.resourceUriString(),
					"validationStatus": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string<"unknown" | "valid" | (string & {})>()),
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
		"dev.kith.community.putRecord": mainSchema;
	}
}
