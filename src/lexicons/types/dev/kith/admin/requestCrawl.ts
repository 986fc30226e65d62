import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';

const _mainSchema = /*#__PURE__*/ v.procedure(
	"dev.kith.admin.requestCrawl",
	{
		"params": null,
		"input": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					/**
					 * Origins of relays; those of the server's settings where absent.
					 * @maxLength 100
					 */
					"relays": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.array(/*#__PURE__*/ v.constrain(
							/*#__PURE__*/ v.string(),
							[/*#__PURE__*/ v.stringLength(0, 512)]
						)),
						[/*#__PURE__*/ v.arrayLength(0, 100)]
					)),
				}
			),
		},
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					/**
					 * The name that the relays were told.
					 */
					"hostname": /*#__PURE__*/ v.string(),
					get "relays"() {
						return /*#__PURE__*/ v.array(relaySchema)
					},
				}
			),
		}
	}
);
const _relaySchema = /*#__PURE__*/ v.object(
	{
		"$type": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.literal("dev.kith.admin.requestCrawl#relay")),
		"accepted": /*#__PURE__*/ v.boolean(),
		/**
		 * Why it was not accepted.
		 */
		"message": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string()),
		"relay": /*#__PURE__*/ v.string(),
	}
);
type main$schematype = typeof _mainSchema;
type relay$schematype = typeof _relaySchema;

export interface mainSchema extends main$schematype {}

export interface relaySchema extends relay$schematype {}
export const mainSchema = _mainSchema as mainSchema;
export const relaySchema = _relaySchema as relaySchema;

export interface Relay extends v.InferInput<typeof relaySchema> {}

export interface $params {}

export interface $input extends v.InferXRPCBodyInput<mainSchema['input']> {}

export interface $output extends v.InferXRPCBodyInput<mainSchema['output']> {}
declare module '@atcute/lexicons/ambient' {
	interface XRPCProcedures {
		"dev.kith.admin.requestCrawl": mainSchema;
	}
}
