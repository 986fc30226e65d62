/** The pages that people see: data in, HTML out. It knows no route, no store and no network. */
export {
  type Asset,
  type Assets,
  type AssetsOptions,
  type BrandImage,
  createAssets,
  type ImageType,
  isImageType,
} from "./assets.ts";
export type { BrandColors } from "./colors.ts";
export { ACCOUNT_SECTIONS, type AccountFrame, type AccountSection, type AdminFrame } from "./frame.ts";
export { newNonce, type PageHeaderOptions, pageHeaders } from "./headers.ts";
export { chooseLocale, LOCALES, type Locale, type LocaleWishes, wishedLocale } from "./locale.ts";
export { PageSite, type PageSiteOptions, type PictureUrls } from "./page_site.ts";
export { type ChangeEmailData, changeEmailPage } from "./pages/account_email.ts";
export { type ChangeHandleData, changeHandlePage } from "./pages/account_handle.ts";
export { type AccountHomeData, type AccountState, accountHomePage } from "./pages/account_home.ts";
export {
  type AccountStatusData,
  accountStatusPage,
  type DeleteAccountData,
  deleteAccountPage,
} from "./pages/account_status.ts";
export { type AdminAccount, type AdminAccountsData, adminAccountsPage } from "./pages/admin_accounts.ts";
export {
  type AdminBackups,
  type AdminHomeData,
  type AdminServer,
  adminHomePage,
} from "./pages/admin_home.ts";
export { type AdminSignInData, adminSignInPage } from "./pages/admin_sign_in.ts";
export {
  type AdoptionData,
  type AdoptionFailure,
  type AdoptionPurpose,
  adoptionDonePage,
  adoptionFailedPage,
  adoptionRefusedPage,
  askAdoptionPage,
} from "./pages/adoption.ts";
export { type AppPasswordsData, appPasswordsPage } from "./pages/app_passwords.ts";
export { type AppGrant, type AppsData, appsPage, type RememberedApp } from "./pages/apps.ts";
export {
  type AdminCheck,
  type AdminCheckReason,
  type AdminCheckState,
  type CheckSentences,
  checkSentences,
} from "./pages/check_words.ts";
export { type ChooseAccountData, chooseAccountPage } from "./pages/choose_account.ts";
export {
  type CommunitiesData,
  type CommunityWaysData,
  communitiesPage,
  communityWaysPage,
} from "./pages/communities.ts";
export {
  type CommunityData,
  type CommunityHealth,
  type CommunityInviteRow,
  type CommunityMember,
  communityPage,
} from "./pages/community.ts";
export {
  type DeleteCommunityData,
  deleteCommunityPage,
  type HandOverData,
  handOverPage,
} from "./pages/community_end.ts";
export type { CommunityName, CommunityNature, CommunityRole } from "./pages/community_parts.ts";
export { type ConsentData, consentPage } from "./pages/consent.ts";
export { type ConsentLinkData, consentLinkPage } from "./pages/consent_link.ts";
export { type CookiesNeededData, cookiesNeededPage } from "./pages/cookies_needed.ts";
export { type DevicesData, devicesPage, type SignedInDevice } from "./pages/devices.ts";
export { type FormPostData, formPostPage } from "./pages/form_post.ts";
export { type JoinCommunityData, joinCommunityPage } from "./pages/join_community.ts";
export {
  type CommunityMadeData,
  communityMadePage,
  type HalfWayData,
  halfWayPage,
  type NewCommunityData,
  newCommunityPage,
} from "./pages/new_community.ts";
export { type ProblemData, type ProblemKind, problemPage } from "./pages/problem.ts";
export { type ReactivateData, reactivatePage } from "./pages/reactivate.ts";
export {
  type ForgotPasswordData,
  forgotPasswordPage,
  type PasswordResetDoneData,
  passwordResetDonePage,
  type ResetPasswordData,
  resetPasswordPage,
} from "./pages/reset_password.ts";
export { type FactorKind, type SecondFactorData, secondFactorPage } from "./pages/second_factor.ts";
export { type SecurityData, securityPage } from "./pages/security.ts";
export { type SignInData, signInPage } from "./pages/sign_in.ts";
export { type SignUpData, signUpPage } from "./pages/sign_up.ts";
export { type SignedOutData, signedOutPage } from "./pages/signed_out.ts";
export {
  type BackupCodesData,
  backupCodesPage,
  type TotpSetupData,
  totpSetupPage,
} from "./pages/totp_setup.ts";
export { type WelcomeData, welcomePage } from "./pages/welcome.ts";
export type { Texts } from "./texts/texts.ts";
export { textsOf } from "./texts_of.ts";
export type {
  AccountName,
  AssetPaths,
  ClientName,
  FormErrors,
  FormTarget,
  Site,
  View,
} from "./view.ts";
