/** A development client, as apps run it on the developer's machine. Also runs in the browser. */

interface Loopback {
  readonly redirectUri: string;
  readonly scope: string;
}

/** Its id. */
export function loopbackClientId({ redirectUri, scope }: Loopback): `http://localhost?${string}` {
  return `http://localhost?${new URLSearchParams({ redirect_uri: redirectUri, scope })}`;
}

/** Its metadata, for the official clients. */
export function loopbackMetadata({ redirectUri, scope }: Loopback) {
  return {
    client_id: loopbackClientId({ redirectUri, scope }),
    redirect_uris: [redirectUri as `http://127.0.0.1:${string}`] as [`http://127.0.0.1:${string}`],
    scope,
    response_types: ["code"] as ["code"],
    grant_types: ["authorization_code", "refresh_token"] as ["authorization_code", "refresh_token"],
    application_type: "native" as const,
    token_endpoint_auth_method: "none" as const,
    dpop_bound_access_tokens: true,
  };
}
