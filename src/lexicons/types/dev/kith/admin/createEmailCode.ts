import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';

const _mainSchema = /*#__PURE__*/ v.procedure(
	"dev.kith.admin.createEmailCode",
	{
		"params": null,
		"input": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					"did": /*#__PURE__*/ v.didString(),
					/**
					 * Who asks, for the log. Not verified.
					 * @maxLength 256
					 */
					"operator": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.string(),
						[/*#__PURE__*/ v.stringLength(0, 256)]
					)),
					"purpose": /*#__PURE__*/ v.literalEnum([
						"confirm_email",
						"delete_account",
						"plc_operation",
						"reset_password",
						"second_factor",
						"update_email"
					]),
				}
			),
		},
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object({
				"code": /*#__PURE__*/ v.string(),
				"expiresAt": /*#__PURE__*/ v.datetimeString(),
			}),
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
		"dev.kith.admin.createEmailCode": mainSchema;
	}
}
