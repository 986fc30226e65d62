import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';

const _checkSchema = /*#__PURE__*/ v.object(
	{
		"$type": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.literal("dev.kith.admin.getHealth#check")),
		/**
		 * Why, in English.
		 */
		"message": /*#__PURE__*/ v.string(),
		"name": /*#__PURE__*/ v.string<"backup" | "disk" | "drill" | "events" | "mail" | "relays" | "shipping" | (string & {})>(),
		/**
		 * Why, in one word that stays the same: backupLate, say.
		 */
		"reason": /*#__PURE__*/ v.string(),
		/**
		 * Since when the state is so; at the earliest the start of the server, where nothing tells more.
		 */
		"since": /*#__PURE__*/ v.datetimeString(),
		/**
		 * warn: to be looked at within days. fail: now.
		 */
		"state": /*#__PURE__*/ v.string<"fail" | "ok" | "warn" | (string & {})>(),
		/**
		 * What to do about it, in English.
		 */
		"todo": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string()),
	}
);
const _mainSchema = /*#__PURE__*/ v.query(
	"dev.kith.admin.getHealth",
	{
		"params": null,
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					get "checks"() {
						return /*#__PURE__*/ v.array(checkSchema)
					},
					/**
					 * When a backup was last proven restorable; absent for never.
					 */
					"lastProvenAt": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.datetimeString()),
					"startedAt": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.datetimeString()),
					/**
					 * The worst of the checks.
					 */
					"state": /*#__PURE__*/ v.string<"fail" | "ok" | "warn" | (string & {})>(),
					"version": /*#__PURE__*/ v.string(),
				}
			),
		}
	}
);
type check$schematype = typeof _checkSchema;
type main$schematype = typeof _mainSchema;

export interface checkSchema extends check$schematype {}

export interface mainSchema extends main$schematype {}
export const checkSchema = _checkSchema as checkSchema;
export const mainSchema = _mainSchema as mainSchema;

export interface Check extends v.InferInput<typeof checkSchema> {}

export interface $params {}

export interface $output extends v.InferXRPCBodyInput<mainSchema['output']> {}
declare module '@atcute/lexicons/ambient' {
	interface XRPCQueries {
		"dev.kith.admin.getHealth": mainSchema;
	}
}
