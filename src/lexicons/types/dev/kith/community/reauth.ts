import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';

const _mainSchema = /*#__PURE__*/ v.procedure(
	"dev.kith.community.reauth",
	{
		"params": null,
		"input": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					/**
					 * An app password of the account. Where absent, the answer says which page its owner has to open.
					 * @maxLength 256
					 */
					"appPassword": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.string(),
						[/*#__PURE__*/ v.stringLength(0, 256)]
					)),
					/**
					 * The community.
					 */
					"communityDid": /*#__PURE__*/ v.didString(),
				}
			),
		},
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					/**
					 * The page on which the account's owner consents. It has to be opened within a few minutes, which the account's server decides, and finished within ten.
					 */
					"authorizeUrl": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.genericUriString()),
					"status": /*#__PURE__*/ v.string<"consentNeeded" | "healthy" | (string & {})>(),
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
		"dev.kith.community.reauth": mainSchema;
	}
}
