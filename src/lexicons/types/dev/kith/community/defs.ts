import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';

const _commitSchema = /*#__PURE__*/ v.object({
	"$type": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.literal("dev.kith.community.defs#commit")),
	"cid": /*#__PURE__*/ v.cidString(),
	"rev": /*#__PURE__*/ v.tidString(),
});
const _communitySchema = /*#__PURE__*/ v.object(
	{
		"$type": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.literal("dev.kith.community.defs#community")),
		/**
		 * Whether the caller may publish as the community.
		 */
		"canPublish": /*#__PURE__*/ v.boolean(),
		"createdAt": /*#__PURE__*/ v.datetimeString(),
		"did": /*#__PURE__*/ v.didString(),
		/**
		 * The handle last known.
		 */
		"handle": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.handleString()),
		/**
		 * Where its account is: an account of this server (native), one of this server's reached like any other server's (loopback), or on another server (remote). Absent for an identity alone.
		 */
		"hosting": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string<"loopback" | "native" | "remote" | (string & {})>()),
		/**
		 * How it came here: made by this server with an account (provisioned), as an identity alone (minted), or with an account that was there (adopted).
		 */
		"mode": /*#__PURE__*/ v.string<"adopted" | "minted" | "provisioned" | (string & {})>(),
		/**
		 * The server of its account.
		 */
		"pdsEndpoint": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.genericUriString()),
		/**
		 * The caller's role.
		 * @maxLength 16
		 */
		"role": /*#__PURE__*/ v.constrain(
			/*#__PURE__*/ v.string<"admin" | "manager" | "member" | "owner" | (string & {})>(),
			[/*#__PURE__*/ v.stringLength(0, 16)]
		),
	}
);
const _inviteSchema = /*#__PURE__*/ v.object(
	{
		"$type": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.literal("dev.kith.community.defs#invite")),
		/**
		 * Whether those who redeem it may publish.
		 */
		"canPublish": /*#__PURE__*/ v.boolean(),
		"createdAt": /*#__PURE__*/ v.datetimeString(),
		"createdBy": /*#__PURE__*/ v.didString(),
		"expiresAt": /*#__PURE__*/ v.datetimeString(),
		/**
		 * @maxLength 64
		 */
		"id": /*#__PURE__*/ v.constrain(
			/*#__PURE__*/ v.string(),
			[/*#__PURE__*/ v.stringLength(0, 64)]
		),
		"revokedAt": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.datetimeString()),
		/**
		 * @maxLength 16
		 */
		"role": /*#__PURE__*/ v.constrain(
			/*#__PURE__*/ v.string<"admin" | "manager" | "member" | "owner" | (string & {})>(),
			[/*#__PURE__*/ v.stringLength(0, 16)]
		),
		/**
		 * How often it was.
		 */
		"used": /*#__PURE__*/ v.integer(),
		/**
		 * How often it may be redeemed.
		 */
		"uses": /*#__PURE__*/ v.integer(),
		/**
		 * Whether it can be redeemed now.
		 */
		"valid": /*#__PURE__*/ v.boolean(),
	}
);
const _memberSchema = /*#__PURE__*/ v.object(
	{
		"$type": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.literal("dev.kith.community.defs#member")),
		/**
		 * Whether the member may publish as the community.
		 */
		"canPublish": /*#__PURE__*/ v.boolean(),
		"did": /*#__PURE__*/ v.didString(),
		"grantedAt": /*#__PURE__*/ v.datetimeString(),
		/**
		 * Who has let the member in, or changed the role last.
		 */
		"grantedBy": /*#__PURE__*/ v.didString(),
		/**
		 * Where it is known.
		 */
		"handle": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.handleString()),
		/**
		 * @maxLength 16
		 */
		"role": /*#__PURE__*/ v.constrain(
			/*#__PURE__*/ v.string<"admin" | "manager" | "member" | "owner" | (string & {})>(),
			[/*#__PURE__*/ v.stringLength(0, 16)]
		),
	}
);
type commit$schematype = typeof _commitSchema;
type community$schematype = typeof _communitySchema;
type invite$schematype = typeof _inviteSchema;
type member$schematype = typeof _memberSchema;

export interface commitSchema extends commit$schematype {}

export interface communitySchema extends community$schematype {}

export interface inviteSchema extends invite$schematype {}

export interface memberSchema extends member$schematype {}
export const commitSchema = _commitSchema as commitSchema;
export const communitySchema = _communitySchema as communitySchema;
export const inviteSchema = _inviteSchema as inviteSchema;
export const memberSchema = _memberSchema as memberSchema;

export interface Commit extends v.InferInput<typeof commitSchema> {}

export interface Community extends v.InferInput<typeof communitySchema> {}

export interface Invite extends v.InferInput<typeof inviteSchema> {}

export interface Member extends v.InferInput<typeof memberSchema> {}
