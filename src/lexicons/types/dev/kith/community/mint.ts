import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';

const _mainSchema = /*#__PURE__*/ v.procedure(
	"dev.kith.community.mint",
	{
		"params": null,
		"input": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					/**
					 * Noted in the DID document; whether it leads to the DID is the caller's to see to.
					 */
					"handle": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.handleString()),
					/**
					 * Chosen by the caller, new for each community.
					 * @minLength 8
					 * @maxLength 128
					 */
					"idempotencyKey": /*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.string(),
						[/*#__PURE__*/ v.stringLength(8, 128)]
					),
					/**
					 * The caller's public key as a did:key, of K-256 or P-256.
					 * @minLength 16
					 * @maxLength 256
					 */
					"rotationKey": /*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.string(),
						[/*#__PURE__*/ v.stringLength(16, 256)]
					),
				}
			),
		},
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					"attemptId": /*#__PURE__*/ v.string(),
					/**
					 * What this server can do for it, in words.
					 */
					"canDo": /*#__PURE__*/ v.array(/*#__PURE__*/ v.string()),
					/**
					 * What it cannot.
					 */
					"cannotDo": /*#__PURE__*/ v.array(/*#__PURE__*/ v.string()),
					"communityDid": /*#__PURE__*/ v.didString(),
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
		"dev.kith.community.mint": mainSchema;
	}
}
