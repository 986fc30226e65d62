/** Tables of the accounts store whose rows belong to the account in their column did. */
export const ACCOUNT_TABLES = [
  "account",
  "app_password",
  "identity_change",
  "second_factor",
  "backup_code",
  "passkey",
  "account_language",
] as const;
