import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';

const _mainSchema = /*#__PURE__*/ v.procedure(
	"dev.kith.community.adopt",
	{
		"params": null,
		"input": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					/**
					 * An app password of the account, never its main password. Where absent, the answer says which page its owner has to open.
					 * @maxLength 256
					 */
					"appPassword": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.string(),
						[/*#__PURE__*/ v.stringLength(0, 256)]
					)),
					/**
					 * DID or handle of the account.
					 */
					"identifier": /*#__PURE__*/ v.actorIdentifierString(),
				}
			),
		},
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					/**
					 * The page on which the account's owner consents, and is sent back to this server. It has to be opened within a few minutes, which the account's server decides, and finished within ten.
					 */
					"authorizeUrl": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.genericUriString()),
					/**
					 * What this server can do for it, in words.
					 */
					"canDo": /*#__PURE__*/ v.array(/*#__PURE__*/ v.string()),
					/**
					 * What it cannot.
					 */
					"cannotDo": /*#__PURE__*/ v.array(/*#__PURE__*/ v.string()),
					/**
					 * Absent where consent is still to be given.
					 */
					"communityDid": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.didString()),
					"handle": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.handleString()),
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
		"dev.kith.community.adopt": mainSchema;
	}
}
