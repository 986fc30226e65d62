import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';
import * as DevKithCommunityDefs from "./defs.ts";

const _mainSchema = /*#__PURE__*/ v.procedure(
	"dev.kith.community.grant",
	{
		"params": null,
		"input": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					/**
					 * Whether the member may publish as the community; as before where absent, and false for a new member.
					 */
					"canPublish": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.boolean()),
					/**
					 * The community.
					 */
					"communityDid": /*#__PURE__*/ v.didString(),
					/**
					 * @maxLength 16
					 */
					"role": /*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.string<"admin" | "manager" | "member" | "owner" | (string & {})>(),
						[/*#__PURE__*/ v.stringLength(0, 16)]
					),
					/**
					 * Who gets it.
					 */
					"subject": /*#__PURE__*/ v.actorIdentifierString(),
				}
			),
		},
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					get "member"() {
						return DevKithCommunityDefs.memberSchema
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
		"dev.kith.community.grant": mainSchema;
	}
}
