import { expect, test } from "bun:test";
import { KithError } from "../errors.ts";
import { ERROR_TABLE, toXrpcError } from "./error_table.ts";

/** What OAuth clients look for is named by RFC 6750 and 9449, not by lexicons. */
const OAUTH_NAMES = ["invalid_dpop_proof", "use_dpop_nonce", "invalid_token"];

test("ERROR_TABLE holds only HTTP error statuses and XRPC names", () => {
  for (const [status, name] of Object.values(ERROR_TABLE)) {
    expect(status).toBeWithin(400, 600);
    if (!OAUTH_NAMES.includes(name)) expect(name).toMatch(/^[A-Z][A-Za-z]+$/);
  }
});

test("toXrpcError() tells of a KithError its message, of anything else nothing", () => {
  expect(toXrpcError(new KithError("expired_token", "Token has expired"))).toEqual({
    status: 400,
    error: "ExpiredToken",
    message: "Token has expired",
  });
  const hidden = { status: 500, error: "InternalServerError", message: "Internal Server Error" };
  expect(toXrpcError(new Error("/data/secret"))).toEqual(hidden);
  expect(toXrpcError(new KithError("storage_damaged", "block missing in /data"))).toEqual(hidden);
  expect(toXrpcError("thrown text")).toEqual(hidden);
  expect(toXrpcError(new KithError("storage_full", "no space in /data")).message).not.toContain("/data");
});
