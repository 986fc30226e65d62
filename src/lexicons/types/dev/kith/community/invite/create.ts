import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';
import * as DevKithCommunityDefs from "../defs.ts";

const _mainSchema = /*#__PURE__*/ v.procedure(
	"dev.kith.community.invite.create",
	{
		"params": null,
		"input": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					/**
					 * Whether those who redeem it may publish; false where absent.
					 */
					"canPublish": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.boolean()),
					/**
					 * The community.
					 */
					"communityDid": /*#__PURE__*/ v.didString(),
					/**
					 * In 7 days where absent, in a year at the latest.
					 */
					"expiresAt": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.datetimeString()),
					/**
					 * Member where absent.
					 * @maxLength 16
					 */
					"role": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.string<"admin" | "manager" | "member" | "owner" | (string & {})>(),
						[/*#__PURE__*/ v.stringLength(0, 16)]
					)),
					/**
					 * How often it may be redeemed.
					 * @minimum 1
					 * @maximum 1000
					 * @default 1
					 */
					"uses": /*#__PURE__*/ v.optional(
						/*#__PURE__*/ v.constrain(
							/*#__PURE__*/ v.integer(),
							[/*#__PURE__*/ v.integerRange(1, 1000)]
						),
						1
					),
				}
			),
		},
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					"id": /*#__PURE__*/ v.string(),
					get "invite"() {
						return DevKithCommunityDefs.inviteSchema
					},
					/**
					 * Told this once.
					 */
					"token": /*#__PURE__*/ v.string(),
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
		"dev.kith.community.invite.create": mainSchema;
	}
}
