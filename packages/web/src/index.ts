// Public names of @cove/web, each written out.
export { Assets } from './assets.ts';
export { readJson } from './body.ts';
export { WebError, type WebErrorCode } from './errors.ts';
export {
  DEFAULT_FORM_LIMIT,
  type FormFields,
  type ReadFormOptions,
  readForm,
  wellFormedPairs,
} from './form.ts';
export { FormTokens, TOKEN_LIFETIME_MS } from './formtoken.ts';
export { escapeHtml, Html, type HtmlValue, html, isSafeUrl, raw } from './html.ts';
export { Callers, grantsOf, type Identify, isTagged, stripIdentityHeaders } from './identity.ts';
export { avatar, day, type NavItem, type PageOptions, page } from './layout.ts';
export {
  imageOrigin,
  isOwnHost,
  isSameOrigin,
  type Middleware,
  refuseCrossSite,
  refuseForeignHost,
  type SecurityHeaderOptions,
  secureHeaders,
  securityHeaders,
} from './security.ts';
