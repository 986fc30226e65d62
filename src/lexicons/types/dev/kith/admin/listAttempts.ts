import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';

const _attemptSchema = /*#__PURE__*/ v.object(
	{
		"$type": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.literal("dev.kith.admin.listAttempts#attempt")),
		"caller": /*#__PURE__*/ v.didString(),
		"createdAt": /*#__PURE__*/ v.datetimeString(),
		"did": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.didString()),
		"handle": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string()),
		"id": /*#__PURE__*/ v.string(),
		/**
		 * Since it went on last.
		 */
		"idleSeconds": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.integer()),
		"kind": /*#__PURE__*/ v.string<"loopback" | "mint" | "native" | "remote" | (string & {})>(),
		"lastError": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string()),
		"pdsEndpoint": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string()),
		/**
		 * Whether it was done.
		 */
		"reaped": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.boolean()),
		"state": /*#__PURE__*/ v.string(),
		"updatedAt": /*#__PURE__*/ v.datetimeString(),
		/**
		 * What would be done, or was done, or why nothing is.
		 */
		"verdict": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string()),
	}
);
const _mainSchema = /*#__PURE__*/ v.query(
	"dev.kith.admin.listAttempts",
	{
		"params": /*#__PURE__*/ v.object(
			{
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
				/**
				 * Only those that have not gone on for so long.
				 * @minimum 0
				 * @default 1800
				 */
				"olderThanSeconds": /*#__PURE__*/ v.optional(
					/*#__PURE__*/ v.integer(),
					1800
				),
			}
		),
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					get "attempts"() {
						return /*#__PURE__*/ v.array(attemptSchema)
					},
					"cursor": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string()),
				}
			),
		}
	}
);
type attempt$schematype = typeof _attemptSchema;
type main$schematype = typeof _mainSchema;

export interface attemptSchema extends attempt$schematype {}

export interface mainSchema extends main$schematype {}
export const attemptSchema = _attemptSchema as attemptSchema;
export const mainSchema = _mainSchema as mainSchema;

export interface Attempt extends v.InferInput<typeof attemptSchema> {}

export interface $params extends v.InferInput<mainSchema['params']> {}

export interface $output extends v.InferXRPCBodyInput<mainSchema['output']> {}
declare module '@atcute/lexicons/ambient' {
	interface XRPCQueries {
		"dev.kith.admin.listAttempts": mainSchema;
	}
}
