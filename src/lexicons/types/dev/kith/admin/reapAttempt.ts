import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';
import * as DevKithAdminListAttempts from "./listAttempts.ts";

const _mainSchema = /*#__PURE__*/ v.procedure(
	"dev.kith.admin.reapAttempt",
	{
		"params": null,
		"input": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					/**
					 * Only tell what would be done.
					 * @default true
					 */
					"dryRun": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.boolean(), true),
					/**
					 * @maxLength 64
					 */
					"id": /*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.string(),
						[/*#__PURE__*/ v.stringLength(0, 64)]
					),
					/**
					 * Refused where it went on more recently.
					 * @minimum 0
					 * @default 1800
					 */
					"olderThanSeconds": /*#__PURE__*/ v.optional(
						/*#__PURE__*/ v.integer(),
						1800
					),
					/**
					 * Who does it, for the log.
					 * @maxLength 256
					 */
					"operator": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.string(),
						[/*#__PURE__*/ v.stringLength(0, 256)]
					)),
				}
			),
		},
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					get "attempt"() {
						return DevKithAdminListAttempts.attemptSchema
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
		"dev.kith.admin.reapAttempt": mainSchema;
	}
}
