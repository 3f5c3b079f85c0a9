// Reading the HTTP API: JSON documents, their links, and problems said in words.

const TIMEOUT_MS = 30_000;

/** What went wrong and what to do about it, in the words of an RFC 9457 problem. */
export class ApiError extends Error {
  constructor({ title, detail = "", remedy = "" }) {
    super(title);
    this.name = "ApiError";
    this.title = title;
    this.detail = detail;
    this.remedy = remedy;
  }
}

/** The JSON document at `url`; throws an ApiError for every way of not getting it. */
export async function fetchJson(url) {
  const response = await answerFrom(url);
  if (!response.ok) throw await problemIn(response);
  try {
    return await response.json();
  } catch {
    throw new ApiError({
      title: "The answer cannot be read",
      detail: `${url} did not answer with complete JSON.`,
      remedy: "Try again; if it stays, look into the server's log.",
    });
  }
}

async function answerFrom(url) {
  const headers = { Accept: "application/geo+json, application/json" };
  try {
    return await fetch(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    const late = error.name === "TimeoutError";
    const within = late ? ` within ${TIMEOUT_MS / 1000} s` : "";
    throw new ApiError({
      title: "The API does not answer",
      detail: `No answer from ${url}${within}.`,
      remedy: "Check that the geomill server is running and reachable, then try again.",
    });
  }
}

async function problemIn(response) {
  const problem = await response.json().catch(() => ({}));
  return new ApiError({
    title: problem.title ?? `HTTP ${response.status} ${response.statusText}`.trim(),
    detail: problem.detail,
    remedy: problem.remedy ?? "Try again; if it stays, look into the server's log.",
  });
}

/**
 * Where the link `rel` of a document leads on this origin, or null.
 * Only path and query are kept: a server behind a proxy may not know its public host name.
 */
export function linkTo(document, rel) {
  const link = document.links?.find((candidate) => candidate.rel === rel);
  if (!link || !URL.canParse(link.href, location.href)) return null;
  const target = new URL(link.href, location.href);
  return /^https?:$/.test(target.protocol) ? target.pathname + target.search : null;
}

/** `url` with its query parameter `name` set to `value`. */
export function withQuery(url, name, value) {
  const target = new URL(url, document.baseURI);
  target.searchParams.set(name, value);
  return target.pathname + target.search;
}
