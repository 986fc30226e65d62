import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';

const _backupSchema = /*#__PURE__*/ v.object({
	"$type": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.literal("dev.kith.admin.getBackupStatus#backup")),
	"at": /*#__PURE__*/ v.datetimeString(),
	"bytes": /*#__PURE__*/ v.integer(),
	"destination": /*#__PURE__*/ v.string(),
	"problems": /*#__PURE__*/ v.integer(),
	"seconds": /*#__PURE__*/ v.integer(),
	"snapshot": /*#__PURE__*/ v.string(),
	"writtenBytes": /*#__PURE__*/ v.integer(),
});
const _drillSchema = /*#__PURE__*/ v.object(
	{
		"$type": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.literal("dev.kith.admin.getBackupStatus#drill")),
		"at": /*#__PURE__*/ v.datetimeString(),
		/**
		 * Why it has proved nothing.
		 */
		"problem": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string()),
		"seconds": /*#__PURE__*/ v.integer(),
	}
);
const _failureSchema = /*#__PURE__*/ v.object({
	"$type": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.literal("dev.kith.admin.getBackupStatus#failure")),
	"at": /*#__PURE__*/ v.datetimeString(),
	"message": /*#__PURE__*/ v.string(),
});
const _mainSchema = /*#__PURE__*/ v.query(
	"dev.kith.admin.getBackupStatus",
	{
		"params": null,
		"output": {
			"type": "lex",
			"schema": /*#__PURE__*/ v.object(
				{
					/**
					 * That of the settings.
					 */
					"destination": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string()),
					/**
					 * Whether every event is at the destination.
					 */
					"isUpToDate": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.boolean()),
					get "lastBackup"() {
						return /*#__PURE__*/ v.optional(backupSchema)
					},
					get "lastDrill"() {
						return /*#__PURE__*/ v.optional(drillSchema)
					},
					get "lastFailure"() {
						return /*#__PURE__*/ v.optional(failureSchema)
					},
					get "lastProven"() {
						return /*#__PURE__*/ v.optional(provenSchema)
					},
					get "lastShipped"() {
						return /*#__PURE__*/ v.optional(shippedSchema)
					},
					/**
					 * Whether a snapshot is being taken.
					 */
					"running": /*#__PURE__*/ v.boolean(),
					/**
					 * Whether the event log is shipped as it grows.
					 */
					"shipping": /*#__PURE__*/ v.boolean(),
					/**
					 * Why it could not be shipped the last time.
					 */
					"shippingProblem": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.string()),
				}
			),
		}
	}
);
const _provenSchema = /*#__PURE__*/ v.object({
	"$type": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.literal("dev.kith.admin.getBackupStatus#proven")),
	"at": /*#__PURE__*/ v.datetimeString(),
	"snapshot": /*#__PURE__*/ v.string(),
});
const _shippedSchema = /*#__PURE__*/ v.object({
	"$type": /*#__PURE__*/ v.optional(/*#__PURE__*/ v.literal("dev.kith.admin.getBackupStatus#shipped")),
	"at": /*#__PURE__*/ v.datetimeString(),
	"destination": /*#__PURE__*/ v.string(),
	"seq": /*#__PURE__*/ v.integer(),
});
type backup$schematype = typeof _backupSchema;
type drill$schematype = typeof _drillSchema;
type failure$schematype = typeof _failureSchema;
type main$schematype = typeof _mainSchema;
type proven$schematype = typeof _provenSchema;
type shipped$schematype = typeof _shippedSchema;

export interface backupSchema extends backup$schematype {}

export interface drillSchema extends drill$schematype {}

export interface failureSchema extends failure$schematype {}

export interface mainSchema extends main$schematype {}

export interface provenSchema extends proven$schematype {}

export interface shippedSchema extends shipped$schematype {}
export const backupSchema = _backupSchema as backupSchema;
export const drillSchema = _drillSchema as drillSchema;
export const failureSchema = _failureSchema as failureSchema;
export const mainSchema = _mainSchema as mainSchema;
export const provenSchema = _provenSchema as provenSchema;
export const shippedSchema = _shippedSchema as shippedSchema;

export interface Backup extends v.InferInput<typeof backupSchema> {}

export interface Drill extends v.InferInput<typeof drillSchema> {}

export interface Failure extends v.InferInput<typeof failureSchema> {}

export interface Proven extends v.InferInput<typeof provenSchema> {}

export interface Shipped extends v.InferInput<typeof shippedSchema> {}

export interface $params {}

export interface $output extends v.InferXRPCBodyInput<mainSchema['output']> {}
declare module '@atcute/lexicons/ambient' {
	interface XRPCQueries {
		"dev.kith.admin.getBackupStatus": mainSchema;
	}
}
