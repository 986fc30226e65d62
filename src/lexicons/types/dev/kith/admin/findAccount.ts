import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';

const _mainSchema = /*#__PURE__*/ v.query(
	"dev.kith.admin.findAccount",
	{
		"params": /*#__PURE__*/ v.object(
			{
				/**
				 * DID, handle or e-mail address.
				 * @maxLength 2048
				 */
				"account": /*#__PURE__*/ v.constrain(
					/*#__PURE__*/ v.string(),
					[/*#__PURE__*/ v.stringLength(0, 2048)]
				),
			}
		),
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					"active": /*#__PURE__*/ v.boolean(),
					"did": /*#__PURE__*/ v.didString(),
					"handle": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.handleString()),
					/**
					 * Why the account is not active.
					 */
					"status": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string<"deactivated" | "suspended" | "takendown" | (string & {})>()),
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
		"dev.kith.admin.findAccount": mainSchema;
	}
}
