import type {} from '@atcute/lexicons';
import * as v from '@atcute/lexicons/validations';
import type {} from '@atcute/lexicons/ambient';
import * as DevKithCommunityDefs from "./defs.ts";

const _mainSchema = /*#__PURE__*/ v.query(
	"dev.kith.community.get",
	{
		"params": /*#__PURE__*/ v.object(
			{
				/**
				 * The community.
				 */
				"communityDid": /*#__PURE__*/ v.didString(),
			}
		),
		"output": {
			"type": "lex",
			get "schema"() {
				return DevKithCommunityDefs.communitySchema
			},
		}
	}
);
type main$schematype = typeof _mainSchema;

export interface mainSchema extends main$schematype {}
export const mainSchema = _mainSchema as mainSchema;

export interface $params extends v.InferInput<mainSchema['params']> {}
export type $output = v.InferXRPCBodyInput<mainSchema['output']>;
declare module '@atcute/lexicons/ambient' {
	interface XRPCQueries {
		"dev.kith.community.get": mainSchema;
	}
}
