import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';
import * as DevKithCommunityDefs from "./defs.ts";

const _mainSchema = /*#__PURE__*/ v.query(
	"dev.kith.community.listMembers",
	{
		"params": /*#__PURE__*/ v.object(
			{
				/**
				 * The community.
				 */
				"communityDid": /*#__PURE__*/ v.didString(),
				/**
				 * @maxLength 512
				 */
				"cursor": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.constrain(
					/*#__PURE__*/ v.string(),
					[/*#__PURE__*/ v.stringLength(0, 512)]
				)),
				/**
				 * The most entries of a page.
				 * @minimum 1
				 * @maximum 100
				 * @default 50
				 */
				"limit": /*#__PURE__*/ v.optional(
					/*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.integer(),
						[/*#__PURE__*/ v.integerRange(1, 100)]
					),
					50
				),
			}
		),
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					"cursor": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string()),
					get "members"() {
						return /*#__PURE__*/ v.array(DevKithCommunityDefs.memberSchema)
					},
				}
			),
		}
	}
);
type main$schematype = typeof _mainSchema;

export interface mainSchema extends main$schematype {}
export const mainSchema = _mainSchema as mainSchema;

export interface $params extends v.InferInput<mainSchema['params']> {}

export interface $output extends v.InferXRPCBodyInput<mainSchema['output']> {}
declare module '@atcute/lexicons/ambient' {
	interface XRPCQueries {
		"dev.kith.community.listMembers": mainSchema;
	}
}
