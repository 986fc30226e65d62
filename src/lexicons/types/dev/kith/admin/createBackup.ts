import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';

const _mainSchema = /*#__PURE__*/ v.procedure(
	"dev.kith.admin.createBackup",
	{
		"params": null,
		"input": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					/**
					 * Begin a backup also where there was one before and now is none.
					 */
					"anew": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.boolean()),
					/**
					 * An absolute path, or s3://BUCKET/PREFIX; that of the server's settings where absent.
					 * @maxLength 2048
					 */
					"destination": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.string(),
						[/*#__PURE__*/ v.stringLength(0, 2048)]
					)),
					/**
					 * The backup's key; that of the server's settings where absent.
					 * @maxLength 256
					 */
					"key": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.string(),
						[/*#__PURE__*/ v.stringLength(0, 256)]
					)),
					/**
					 * Take the destination from another data folder of this server that writes to it.
					 */
					"takeOver": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.boolean()),
				}
			),
		},
		"output": { "type": "blob", "encoding": ["application/jsonl"], }
	}
);
type main$schematype = typeof _mainSchema;

export interface mainSchema extends main$schematype {}
export const mainSchema = _mainSchema as mainSchema;

export interface $params {}

export interface $input extends v.InferXRPCBodyInput<mainSchema['input']> {}
export type $output = v.InferXRPCBodyInput<mainSchema['output']>;
declare module '@atcute/lexicons/ambient' {
	interface XRPCProcedures {
		"dev.kith.admin.createBackup": mainSchema;
	}
}
