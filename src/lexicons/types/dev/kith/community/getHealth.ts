import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';

const _checkSchema = /*#__PURE__*/ v.object(
	{
		"$type": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.literal("dev.kith.community.getHealth#check")),
		/**
		 * What is wrong, and what to do.
		 */
		"message": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string()),
		"name": /*#__PURE__*/ v.string(),
		"ok": /*#__PURE__*/ v.boolean(),
	}
);
const _mainSchema = /*#__PURE__*/ v.query(
	"dev.kith.community.getHealth",
	{
		"params": /*#__PURE__*/ v.object(
			{
				/**
				 * The community.
				 */
				"communityDid": /*#__PURE__*/ v.didString(),
			}
		),
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					"checkedAt": /*#__PURE__*/ v.datetimeString(),
					get "checks"() {
						return /*#__PURE__*/ v.array(checkSchema)
					},
					/**
					 * As the DID document has it now.
					 */
					"handle": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.handleString()),
					"status": /*#__PURE__*/ v.string<"deactivated" | "expired" | "gone" | "healthy" | "moved" | "takendown" | "unreachable" | (string & {})>(),
				}
			),
		}
	}
);
type check$schematype = typeof _checkSchema;
type main$schematype = typeof _mainSchema;

export interface checkSchema extends check$schematype {}

export interface mainSchema extends main$schematype {}
export const checkSchema = _checkSchema as checkSchema;
export const mainSchema = _mainSchema as mainSchema;

export interface Check extends v.InferInput<typeof checkSchema> {}

export interface $params extends v.InferInput<mainSchema['params']> {}

export interface $output extends v.InferXRPCBodyInput<mainSchema['output']> {}
declare module '@atcute/lexicons/ambient' {
	interface XRPCQueries {
		"dev.kith.community.getHealth": mainSchema;
	}
}
