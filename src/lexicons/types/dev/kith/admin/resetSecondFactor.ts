import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';

const _mainSchema = /*#__PURE__*/ v.procedure(
	"dev.kith.admin.resetSecondFactor",
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
				}
			),
		},
		"output": null
	}
);
type main$schematype = typeof _mainSchema;

export interface mainSchema extends main$schematype {}
export const mainSchema = _mainSchema as mainSchema;

export interface $params {}

export interface $input extends v.InferXRPCBodyInput<mainSchema['input']> {}
declare module '@atcute/lexicons/ambient' {
	interface XRPCProcedures {
		"dev.kith.admin.resetSecondFactor": mainSchema;
	}
}
