import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';

const _declarationSchema = /*#__PURE__*/ v.object(
	{
		"$type": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.literal("dev.kith.community.provision#declaration")),
		"collection": /*#__PURE__*/ v.nsidString(),
		"record": /*#__PURE__*/ v.unknown(),
		/**
		 * @maxLength 512
		 */
		"rkey": /*#__PURE__*/ v.constrain(
			/*#__PURE__*/ v.recordKeyString(),
			[/*#__PURE__*/ v.stringLength(0, 512)]
		),
	}
);
const _mainSchema = /*#__PURE__*/ v.procedure(
	"dev.kith.community.provision",
	{
		"params": null,
		"input": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					get "declaration"() {
						return /*#__PURE__*/ v.optional(declarationSchema)
					},
					/**
					 * Where the account's server wants one: stock servers do.
					 * @maxLength 320
					 */
					"email": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.string(),
						[/*#__PURE__*/ v.stringLength(0, 320)]
					)),
					/**
					 * The handle of the community.
					 */
					"handle": /*#__PURE__*/ v.handleString(),
					/**
					 * An account of this server, without a password (native), or one made as on any server (stock). Native where absent and pdsEndpoint is this server or absent.
					 */
					"hosting": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string<"native" | "stock" | (string & {})>()),
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
					 * Where the account's server wants one.
					 * @maxLength 256
					 */
					"inviteCode": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.string(),
						[/*#__PURE__*/ v.stringLength(0, 256)]
					)),
					/**
					 * The server of the account; this one where absent.
					 * @maxLength 512
					 */
					"pdsEndpoint": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.constrain(
						/*#__PURE__*/ v.string(),
						[/*#__PURE__*/ v.stringLength(0, 512)]
					)),
					/**
					 * The caller's public key as a did:key, of K-256 or P-256; it goes first in the DID's rotation keys. The private key stays with the caller.
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
					"communityDid": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.didString()),
					"handle": /*#__PURE__*/ v.handleString(),
					"pdsEndpoint": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.genericUriString()),
					get "rootCredentials"() {
						return /*#__PURE__*/ v.optional(rootCredentialsSchema)
					},
					"status": /*#__PURE__*/ v.string<"activated" | (string & {})>(),
				}
			),
		}
	}
);
const _rootCredentialsSchema = /*#__PURE__*/ v.object({
	"$type": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.literal("dev.kith.community.provision#rootCredentials")),
	"handle": /*#__PURE__*/ v.handleString(),
	"password": /*#__PURE__*/ v.string(),
	"recoveryHint": /*#__PURE__*/ v.string(),
});
type declaration$schematype = typeof _declarationSchema;
type main$schematype = typeof _mainSchema;
type rootCredentials$schematype = typeof _rootCredentialsSchema;

export interface declarationSchema extends declaration$schematype {}

export interface mainSchema extends main$schematype {}

export interface rootCredentialsSchema extends rootCredentials$schematype {}
export const declarationSchema = _declarationSchema as declarationSchema;
export const mainSchema = _mainSchema as mainSchema;
export const rootCredentialsSchema = _rootCredentialsSchema as rootCredentialsSchema;

export interface Declaration extends v.InferInput<typeof declarationSchema> {}

export interface RootCredentials extends v.InferInput<typeof rootCredentialsSchema> {}

export interface $params {}

export interface $input extends v.InferXRPCBodyInput<mainSchema['input']> {}

export interface $output extends v.InferXRPCBodyInput<mainSchema['output']> {}
declare module '@atcute/lexicons/ambient' {
	interface XRPCProcedures {
		"dev.kith.community.provision": mainSchema;
	}
}
