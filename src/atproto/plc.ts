/**
 * did:plc operations: making, signing and judging them, as a client and as a directory. No network here.
 * https://web.plc.directory/spec/v0.1/did-plc (v0.3.0)
 */
export {
  createGenesis,
  createTombstone,
  createUpdate,
  signOperation,
  withHandle,
} from "./_plc_create.ts";
export {
  type AnyPlcOperation,
  cidOfOperation,
  didOfGenesis,
  type LegacyPlcCreate,
  type PlcOperation,
  type PlcState,
  type PlcTombstone,
  parsePlcOperation,
  plcStateOf,
  plcStateToDidDocument,
  type UnsignedPlcOperation,
} from "./_plc_operation.ts";
export { type PlcLogEntry, type PlcVerdict, validateLog, validateOperation } from "./_plc_validate.ts";
