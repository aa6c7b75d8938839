// CommServer's client for TypeScript and JavaScript: one file without dependencies, for Node 18 and later, Deno, Bun and
// edge runtimes. Copy it into your application, or install the package @commserver/client, which is the same file compiled.
//
// Keep the keys on servers: whoever has one can send as your application.
//
// What is repeated by itself: reading, sending (under an idempotency key, which is made when you give none) and the few
// changes that a repeat cannot change any further. Everything else is asked once. docs/sdk.md has the whole list.
//
// Copyright the CommServer authors. SPDX-License-Identifier: Apache-2.0

/** What a client needs. `baseUrl` may have a path, when the server stands behind a proxy. */
export interface CommsClientOptions extends CommonOptions {
  /** The app's id or slug. */
  appId: string;
  /** Its API key. */
  apiKey: string;
}

/** What a provisioning client needs. */
export interface CommsProvisioningOptions extends CommonOptions {
  provisioningKey: string;
}

/** Options of both clients. */
export interface CommonOptions {
  /** Such as http://localhost:3008. */
  baseUrl: string;
  /** Milliseconds for one try, its answer included; 15,000 if not given. */
  timeoutMs?: number | undefined;
  /** Further tries of what may be repeated; 3 if not given, 0 for none. */
  retries?: number | undefined;
  /** The longest `Retry-After` that is waited for, in milliseconds; 10,000 if not given. A server that asks for more is not asked again. */
  maxRetryAfterMs?: number | undefined;
  /** Used instead of the runtime's fetch. */
  fetch?: typeof fetch | undefined;
}

/** Options of one call. */
export interface CallOptions {
  /** Ends the call, pauses between tries included; it throws the signal's reason, a send CommsAbortError, which tells its key. */
  signal?: AbortSignal | undefined;
  /** Milliseconds for one try, instead of the client's. */
  timeoutMs?: number | undefined;
  /** Further tries, instead of the client's; it makes nothing repeatable that is not. */
  retries?: number | undefined;
}

/** What sendEmail takes. */
export type EmailMessage = Omit<NewMessage, "channel">;
/** What sendSms takes. */
export type SmsMessage = Pick<NewMessage, "to" | "body" | "templateKey" | "variables" | "idempotencyKey" | "scheduledAt" | "from" | "metadata" | "lane" | "ttlSeconds" | "tags">;

/** The answer of a send: queued, not delivered. */
export interface SendResult extends Accepted {
  /** The key that was used, given or made: send under it again if your record of this answer is lost. */
  idempotencyKey: string;
}

/** What became of one message of sendMessages, at its place in the list: `error` says which of the two it is. */
export type BatchResult = BatchSent | BatchRefused;
export interface BatchSent extends SendResult {
  index: number;
  error?: undefined;
  details?: undefined;
}
export interface BatchRefused {
  index: number;
  /** Why, for people. */
  error: string;
  /** Why, for machines. */
  details: ErrorDetails;
  id?: undefined;
  status?: undefined;
  idempotencyKey: string;
  /** Set when the request that held the message failed or was ended, or an earlier one: send what is left again, under these keys. */
  cause?: CommsError | undefined;
}

/** An event of the stream. */
export interface StreamedEvent extends FeedEvent {
  /** Where to go on behind it: keep it once the event is dealt with. */
  cursor: string;
}

/** What is posted to webhook endpoints. `webhook.test` is about a message that does not exist. */
export type WebhookEvent = Omit<FeedEvent, "event"> & { event: FeedEvent["event"] | "webhook.test" };

export interface StreamOptions {
  /** The cursor to go on behind; without it the stream begins with the oldest event there is. */
  after?: string | undefined;
  /** Ends the stream, without an error. */
  signal?: AbortSignal | undefined;
}

export interface WaitForDeliveryOptions {
  /** `DELIVERED` waits for the report that it arrived, which needs a provider that reports; `SENT` until nothing more is tried. `DELIVERED` if not given. */
  until?: "SENT" | "DELIVERED" | undefined;
  /** Milliseconds; 60,000 if not given. */
  timeoutMs?: number | undefined;
  /** A cursor from before the message was sent: with it the stream of events is followed instead of asking again and again. */
  after?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** The headers of a request, as runtimes and frameworks hand them over. */
export type HeadersLike = { get(name: string): string | null } | Record<string, string | readonly string[] | undefined>;

export interface VerifyWebhookInput {
  /** The body byte for byte as it came, before any parsing. */
  body: string | Uint8Array;
  headers: HeadersLike;
  /** The endpoint's secret; while it is rotated, the new one and the old one. */
  secret: string | readonly string[];
  /** How old, or how far ahead, the timestamp may be; 300 if not given. */
  toleranceSeconds?: number | undefined;
  /** The time of now in milliseconds, for tests. */
  now?: number | undefined;
}

/** What machines may use of an error: `code` is stable, further members depend on it. */
export interface ErrorDetails {
  code: string;
  fields?: Record<string, string>;
  [member: string]: unknown;
}

/** Members of details that come with a code. */
export interface DetailsByCode {
  missing_variables: { missing: string[] };
  invalid_state: { status: MessageStatus; reason: string };
  insufficient_scope: { scope: string };
}

/** Codes that this client gives to what went wrong without an answer of the server that can be used. */
export type ClientErrorCode = "connection_failed" | "timeout" | "unreadable_answer" | "aborted" | "wait_timeout" | "webhook_rejected";

/** Every error of this client but those for wrong use (TypeError) and for a signal that ended a call other than a send (its reason). */
export class CommsError extends Error {
  /** Stable. The server's, as docs/errors.md lists them, or one of ClientErrorCode. A newer server may have others. */
  readonly code: CommsErrorCode | ClientErrorCode | (string & {});
  /** How often the call was made. */
  tries = 1;
  /** Of a send: the key that was used, given or made. Sending again under it cannot send twice. */
  idempotencyKey: string | undefined;
  /** Of sendMessages: those keys, one for each message in order. */
  idempotencyKeys: readonly string[] | undefined;

  constructor(code: string, message: string, cause?: unknown) {
    super(message);
    this.name = new.target.name;
    this.code = code;
    if (cause !== undefined) {
      Object.defineProperty(this, "cause", { value: cause, enumerable: false, configurable: true, writable: true });
    }
  }
}

/** A refusal by the server. */
export class CommsApiError extends CommsError {
  readonly status: number;
  /** Everything in details; without members when the answer was not one of CommServer's. */
  readonly details: Partial<ErrorDetails>;
  /** Path of each wrong field and why. */
  readonly fields: Record<string, string>;
  /** Quote it to the operator. */
  readonly requestId: string | undefined;
  /** How long the server asks to stay away; undefined if it does not say. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, message: string, details: Partial<ErrorDetails>, requestId: string | undefined, retryAfterMs: number | undefined) {
    super(typeof details.code === "string" ? details.code : "", message);
    this.status = status;
    this.details = details;
    this.fields = isObject(details.fields) ? (details.fields as Record<string, string>) : {};
    this.requestId = requestId;
    this.retryAfterMs = retryAfterMs;
  }
}

/** No answer came: whether the server has done what it was asked is not known. */
export class CommsConnectionError extends CommsError {}
/** No whole answer came in time; see CommsConnectionError. */
export class CommsTimeoutError extends CommsError {}
/** The answer of a success cannot be read. */
export class CommsAnswerError extends CommsError {}
/** A signal ended the send, for the reason in `cause`: whether the server has accepted something is not known. */
export class CommsAbortError extends CommsError {}
/** A webhook that nobody who knows the secret has signed lately. Answer it with 4xx. */
export class CommsWebhookError extends CommsError {}

/** The time of waitForDelivery is up. */
export class CommsWaitError extends CommsError {
  /** The message as it was read last. */
  readonly lastMessage: Message;

  constructor(message: string, last: Message) {
    super("wait_timeout", message);
    this.lastMessage = last;
  }
}

/** Says of an error that the server refused with this code, and of what type its details are then. */
export function isCode<C extends CommsErrorCode>(error: unknown, code: C): error is CommsApiError & { code: C; details: ErrorDetails & (C extends keyof DetailsByCode ? DetailsByCode[C] : unknown) } {
  return error instanceof CommsApiError && error.code === code;
}

/** Calls one server for one app. It holds no connection and no state, so that one is enough for a program. */
export class CommsClient {
  readonly #http: Caller;

  constructor(options: CommsClientOptions) {
    this.#http = new Caller(options, { "X-App-ID": secretText("appId", options.appId), "X-API-Key": secretText("apiKey", options.apiKey) });
  }

  // --- Messages

  /** Queues an email. It answers when the server has stored it durably. */
  sendEmail(message: EmailMessage, options?: CallOptions): Promise<SendResult> {
    return this.sendMessage({ ...message, channel: "EMAIL" }, options);
  }

  /** Queues an SMS. It answers when the server has stored it durably. */
  sendSms(message: SmsMessage, options?: CallOptions): Promise<SendResult> {
    return this.sendMessage({ ...message, channel: "SMS" }, options);
  }

  /** Queues a message. Without an idempotencyKey one is made: repeats within this call are then safe, a second call is a second message. */
  async sendMessage(message: NewMessage, options?: CallOptions): Promise<SendResult> {
    const keyed = withKey(message);
    const body = new Encoded(encode(keyed));
    try {
      const answer = await this.#http.json<Accepted>({ method: "POST", path: "/api/v1/messages", body, repeat: true }, options);
      if (!answer.id) throw new CommsAnswerError("unreadable_answer", "The answer of POST /api/v1/messages names no message; is this a CommServer?");
      return { ...answer, idempotencyKey: keyed.idempotencyKey };
    } catch (caught) {
      const error = ofSend(caught);
      error.idempotencyKey = keyed.idempotencyKey;
      throw error;
    }
  }

  /**
   * Queues any number of messages, in requests of up to 1000 that follow one another, and answers for each in order. One that is
   * refused is no matter of the others. It throws when the first request fails or is ended; when a later one does, its messages and
   * those behind it come as refused, with `cause`. What cannot be written as JSON is a TypeError before anything is sent.
   */
  async sendMessages(messages: readonly NewMessage[], options?: CallOptions): Promise<BatchResult[]> {
    const keyed = messages.map(withKey);
    const out: BatchResult[] = [];
    const refuse = (from: number, to: number, error: string, details: ErrorDetails, cause?: CommsError): void => {
      for (let i = from; i < to; i++) out.push({ index: i, error, details, idempotencyKey: keyed[i]!.idempotencyKey, ...(cause && { cause }) });
    };
    // All are written before the first is sent: an error in the middle would take the keys of what was accepted along.
    for (const part of [...parts(keyed)]) {
      try {
        const answer = await this.#http.json<BatchAccepted>({ method: "POST", path: "/api/v1/messages/batch", body: part.body, repeat: true }, options);
        if (!Array.isArray(answer.data) || answer.data.length !== part.to - part.from || !answer.data.every(isOutcome)) {
          throw new CommsAnswerError("unreadable_answer", "The answer of POST /api/v1/messages/batch does not have an item for each message.");
        }
        answer.data.forEach((item, i) => {
          const index = part.from + i;
          if (item.error !== undefined) refuse(index, index + 1, item.error, (item.details ?? { code: "" }) as ErrorDetails);
          else out.push({ ...(item as Accepted), index, idempotencyKey: keyed[index]!.idempotencyKey });
        });
      } catch (caught) {
        const error = ofSend(caught);
        if (part.from === 0) {
          error.idempotencyKeys = keyed.map((message) => message.idempotencyKey);
          throw error;
        }
        refuse(part.from, keyed.length, error.message, { ...(error instanceof CommsApiError ? error.details : {}), code: error.code }, error);
        return out;
      }
    }
    return out;
  }

  /** What a message would become, and on which way; stores and sends nothing. */
  previewMessage(message: NewMessage, options?: CallOptions): Promise<Preview> {
    return this.#http.json({ method: "POST", path: "/api/v1/messages/preview", body: message, repeat: true }, options);
  }

  /** One page of messages, newest first; see messages. */
  listMessages(query: ListMessagesQuery = {}, options?: CallOptions): Promise<MessagePage> {
    return this.#http.json({ method: "GET", path: "/api/v1/messages", query, repeat: true }, options);
  }

  /** Walks through messages, newest first, page by page; `limit` is the size of a page. */
  messages(query: Omit<ListMessagesQuery, "cursor"> = {}, options?: CallOptions): AsyncGenerator<MessageItem, void, undefined> {
    return walk((cursor) => this.listMessages({ ...query, cursor }, options));
  }

  /** A message with its log. */
  getMessage(id: string, options?: CallOptions): Promise<Message> {
    return this.#http.json({ method: "GET", path: `/api/v1/messages/${segment(id)}`, repeat: true }, options);
  }

  /** CANCEL or RETRY; see cancelMessage and retryMessage. CANCEL is repeated when its answer was lost, RETRY is not. */
  changeMessage(id: string, change: Action, options?: CallOptions): Promise<ChangedMessage> {
    return this.#http.json({ method: "PATCH", path: `/api/v1/messages/${segment(id)}`, body: change, repeat: change.action === "CANCEL" }, options);
  }

  /** Cancels a queued message. That it was cancelled before is no error. */
  cancelMessage(id: string, options?: CallOptions): Promise<ChangedMessage> {
    return this.changeMessage(id, { action: "CANCEL" }, options);
  }

  /** Queues a failed or cancelled message again. */
  retryMessage(id: string, options?: CallOptions): Promise<ChangedMessage> {
    return this.changeMessage(id, { action: "RETRY" }, options);
  }

  /**
   * Waits until it is known what became of a message, and answers it: delivered, or FAILED, SUPPRESSED or CANCELLED, which is
   * no error. CommsWaitError when the time is up. In the sandbox only some recipients come to DELIVERED: see `until`.
   */
  async waitForDelivery(id: string, options: WaitForDeliveryOptions = {}): Promise<Message> {
    const { until = "DELIVERED", timeoutMs = 60_000, after, signal } = options;
    const limit = link(signal, timeoutMs);
    let last: Message | undefined;
    try {
      last = await this.getMessage(id, { signal: limit.signal });
      if (after !== undefined && !isOver(last.status, until)) {
        for await (const event of this.streamEvents({ after, signal: limit.signal })) {
          if (event.message.id === id && isOver(event.message.status, until)) break;
        }
        last = await this.getMessage(id, { signal: limit.signal });
      }
      for (let pause = firstPoll; !isOver(last.status, until); pause = Math.min(pause * 1.5, longestPoll)) {
        await sleep(pause, limit.signal);
        last = await this.getMessage(id, { signal: limit.signal });
      }
      return last;
    } catch (error) {
      if (!limit.signal.aborted || signal?.aborted) throw error;
      if (!last) throw new CommsTimeoutError("timeout", `The message could not be read within ${timeoutMs} ms.`, error);
      const hint = last.status === "SENT" ? ', and nobody has reported that it arrived; with until "SENT" this is enough' : "";
      throw new CommsWaitError(`The message is ${last.status} after ${timeoutMs} ms${hint}.`, last);
    } finally {
      limit.done();
    }
  }

  // --- Sandbox

  /** One page of what the sandbox took, newest first; see captures. */
  listCaptures(query: ListCapturesQuery = {}, options?: CallOptions): Promise<CapturePage> {
    return this.#http.json({ method: "GET", path: "/api/v1/sandbox/messages", query, repeat: true }, options);
  }

  /** Walks through what the sandbox took, newest first. */
  captures(query: Omit<ListCapturesQuery, "cursor"> = {}, options?: CallOptions): AsyncGenerator<Capture, void, undefined> {
    return walk((cursor) => this.listCaptures({ ...query, cursor }, options));
  }

  getCapture(id: string, options?: CallOptions): Promise<Capture> {
    return this.#http.json({ method: "GET", path: `/api/v1/sandbox/messages/${segment(id)}`, repeat: true }, options);
  }

  /** A captured email as a mail server would have got it (RFC 5322), with its attachments. */
  getCaptureSource(id: string, options?: CallOptions): Promise<ReadableStream<Uint8Array>> {
    return this.#http.stream({ method: "GET", path: `/api/v1/sandbox/messages/${segment(id)}/source` }, options);
  }

  /** Waits until the sandbox takes a message to an address, for end-to-end tests. `timeout` is in seconds, 50 at most; then the error's code is nothing_captured. */
  waitForCapture(query: WaitForCaptureQuery, options: CallOptions = {}): Promise<Capture> {
    const timeoutMs = Math.max(options.timeoutMs ?? this.#http.timeoutMs, ((query.timeout ?? 30) + 10) * 1000);
    return this.#http.json({ method: "GET", path: "/api/v1/sandbox/messages/wait", query, repeat: true }, { ...options, timeoutMs });
  }

  // --- The app

  getApp(options?: CallOptions): Promise<App> {
    return this.#http.json({ method: "GET", path: "/api/v1/app", repeat: true }, options);
  }

  /** Changes the app's settings. With a webhookUrl it is asked once only: the answer may hold a secret that is shown once. */
  changeApp(change: AppChange, options?: CallOptions): Promise<ChangedApp> {
    return this.#http.json({ method: "PATCH", path: "/api/v1/app", body: change, repeat: change.webhookUrl === undefined }, options);
  }

  getStats(query: GetStatsQuery = {}, options?: CallOptions): Promise<Stats> {
    return this.#http.json({ method: "GET", path: "/api/v1/stats", query, repeat: true }, options);
  }

  // --- Templates

  createTemplate(template: NewTemplate, options?: CallOptions): Promise<Template> {
    return this.#http.json({ method: "POST", path: "/api/v1/templates", body: template }, options);
  }

  /** One page of templates, newest first; see templates. */
  listTemplates(query: ListTemplatesQuery = {}, options?: CallOptions): Promise<TemplatePage> {
    return this.#http.json({ method: "GET", path: "/api/v1/templates", query, repeat: true }, options);
  }

  /** Walks through the templates, newest first. */
  templates(query: Omit<ListTemplatesQuery, "cursor"> = {}, options?: CallOptions): AsyncGenerator<Template, void, undefined> {
    return walk((cursor) => this.listTemplates({ ...query, cursor }, options));
  }

  getTemplate(id: string, options?: CallOptions): Promise<Template> {
    return this.#http.json({ method: "GET", path: `/api/v1/templates/${segment(id)}`, repeat: true }, options);
  }

  /** Content that differs from what is stored becomes the next version. */
  changeTemplate(id: string, change: TemplateChange, options?: CallOptions): Promise<Template> {
    return this.#http.json({ method: "PATCH", path: `/api/v1/templates/${segment(id)}`, body: change, repeat: true }, options);
  }

  deleteTemplate(id: string, options?: CallOptions): Promise<void> {
    return this.#http.none({ method: "DELETE", path: `/api/v1/templates/${segment(id)}` }, options);
  }

  listTemplateVersions(id: string, options?: CallOptions): Promise<TemplateVersionPage> {
    return this.#http.json({ method: "GET", path: `/api/v1/templates/${segment(id)}/versions`, repeat: true }, options);
  }

  getTemplateVersion(id: string, version: number, options?: CallOptions): Promise<TemplateVersion> {
    return this.#http.json({ method: "GET", path: `/api/v1/templates/${segment(id)}/versions/${segment(String(version))}`, repeat: true }, options);
  }

  /** Makes a new version with the content of an old one. */
  rollbackTemplate(id: string, version: number, options?: CallOptions): Promise<Template> {
    const body: Rollback = { version };
    return this.#http.json({ method: "POST", path: `/api/v1/templates/${segment(id)}/rollback`, body }, options);
  }

  /** The exact content that a message would have. Stores and sends nothing. */
  previewTemplate(id: string, request: PreviewRequest = {}, options?: CallOptions): Promise<TemplatePreview> {
    return this.#http.json({ method: "POST", path: `/api/v1/templates/${segment(id)}/preview`, body: request, repeat: true }, options);
  }

  // --- Provider configurations

  createProviderConfig(config: NewProviderConfig, options?: CallOptions): Promise<ProviderConfig> {
    return this.#http.json({ method: "POST", path: "/api/v1/provider-configs", body: config }, options);
  }

  /** All of the app's, in failover order. */
  listProviderConfigs(options?: CallOptions): Promise<ProviderConfigPage> {
    return this.#http.json({ method: "GET", path: "/api/v1/provider-configs", repeat: true }, options);
  }

  getProviderConfig(id: string, options?: CallOptions): Promise<ProviderConfig> {
    return this.#http.json({ method: "GET", path: `/api/v1/provider-configs/${segment(id)}`, repeat: true }, options);
  }

  /** Fields of config that are not sent stay as they are, null removes one. */
  changeProviderConfig(id: string, change: ProviderConfigChange, options?: CallOptions): Promise<ProviderConfig> {
    return this.#http.json({ method: "PATCH", path: `/api/v1/provider-configs/${segment(id)}`, body: change, repeat: true }, options);
  }

  deleteProviderConfig(id: string, options?: CallOptions): Promise<void> {
    return this.#http.none({ method: "DELETE", path: `/api/v1/provider-configs/${segment(id)}` }, options);
  }

  /** Another callback URL; reports to the one before are taken for overlapSeconds more. */
  rotateProviderCallback(id: string, rotation: CallbackRotation = {}, options?: CallOptions): Promise<ProviderConfig> {
    return this.#http.json({ method: "POST", path: `/api/v1/provider-configs/${segment(id)}/rotate-callback`, body: rotation }, options);
  }

  /** Connects to the provider and logs in; sends nothing. Whether it works is `ok` of the answer. */
  verifyProviderConfig(id: string, options?: CallOptions): Promise<Verification> {
    return this.#http.json({ method: "POST", path: `/api/v1/provider-configs/${segment(id)}/verify` }, atLeast(options, trialMs, this.#http));
  }

  /** Sends one real message through this configuration, whatever the mode of the app. */
  testProviderConfig(id: string, message: TestMessage, options?: CallOptions): Promise<TestResult> {
    return this.#http.json({ method: "POST", path: `/api/v1/provider-configs/${segment(id)}/test`, body: message }, atLeast(options, trialMs, this.#http));
  }

  // --- Suppressions and persons

  /** Puts an address on the opt-out list. That it is there already changes nothing, and is no error. */
  addSuppression(suppression: NewSuppression, options?: CallOptions): Promise<Suppression> {
    return this.#http.json({ method: "POST", path: "/api/v1/suppressions", body: suppression, repeat: true }, options);
  }

  /** One page of the opt-out list, newest first; see suppressions. */
  listSuppressions(query: ListSuppressionsQuery = {}, options?: CallOptions): Promise<SuppressionPage> {
    return this.#http.json({ method: "GET", path: "/api/v1/suppressions", query, repeat: true }, options);
  }

  /** Walks through the opt-out list, newest first. */
  suppressions(query: Omit<ListSuppressionsQuery, "cursor"> = {}, options?: CallOptions): AsyncGenerator<Suppression, void, undefined> {
    return walk((cursor) => this.listSuppressions({ ...query, cursor }, options));
  }

  /** Takes one address off the list; an error with the code not_found when it is not there. */
  removeSuppression(query: RemoveSuppressionQuery, options?: CallOptions): Promise<void> {
    return this.#http.none({ method: "DELETE", path: "/api/v1/suppressions", query }, options);
  }

  /** Adds a list of at most 64 MiB. Asked once, without a time limit but the signal's and a timeoutMs of the call; repeating it is safe. */
  importSuppressions(content: string | Uint8Array | ReadableStream<Uint8Array>, format: "csv" | "jsonl", options?: CallOptions): Promise<Imported> {
    return this.#http.json({ method: "POST", path: "/api/v1/suppressions/import", raw: content, contentType: format === "csv" ? "text/csv" : "application/x-ndjson" }, { timeoutMs: 0, ...options });
  }

  /** The whole list as it is read; an error in the middle is one of reading. `new Response(stream).text()` takes it in one piece. */
  exportSuppressions(query: ExportSuppressionsQuery = {}, options?: CallOptions): Promise<ReadableStream<Uint8Array>> {
    return this.#http.stream({ method: "GET", path: "/api/v1/suppressions/export", query }, options);
  }

  /** Has everything about a person erased. It goes on by itself: see getErasure. */
  erasePerson(person: NewErasure, options?: CallOptions): Promise<Erasure> {
    return this.#http.json({ method: "POST", path: "/api/v1/erasures", body: person }, options);
  }

  getErasure(id: string, options?: CallOptions): Promise<Erasure> {
    return this.#http.json({ method: "GET", path: `/api/v1/erasures/${segment(id)}`, repeat: true }, options);
  }

  /** Everything that is held about a person as JSON lines. It is whole if its last line is of the kind `end`. */
  exportPerson(query: ExportPersonQuery, options?: CallOptions): Promise<ReadableStream<Uint8Array>> {
    return this.#http.stream({ method: "GET", path: "/api/v1/persons/export", query }, options);
  }

  // --- Events and webhooks

  /** One page of the app's events, the oldest first; see feed. */
  listEvents(query: ListEventsQuery = {}, options?: CallOptions): Promise<EventPage> {
    return this.#http.json({ method: "GET", path: "/api/v1/events", query, repeat: true }, options);
  }

  /**
   * Walks through the app's events behind a cursor up to the end for now: what it yields last is a page without events. Keep each
   * page's nextCursor when its events are dealt with, and begin there the next time.
   */
  async *feed(query: ListEventsQuery = {}, options?: CallOptions): AsyncGenerator<EventPage, void, undefined> {
    for (let after = query.after; ; ) {
      const page = await this.listEvents({ ...query, limit: query.limit ?? 100, after }, options);
      yield page;
      if (page.data.length === 0) return;
      after = page.nextCursor;
    }
  }

  /**
   * Yields the app's events behind a cursor as they happen, each once and in one order without gaps. A connection that breaks, or on
   * which nothing is heard for 45 seconds, is opened again behind the last event, after the pause that the server asks for. It
   * ends without an error when the signal is aborted, and throws the first refusal that does not pass by itself.
   */
  async *streamEvents(options: StreamOptions = {}): AsyncGenerator<StreamedEvent, void, undefined> {
    const place: Place = { after: options.after, retryMs: usualRetry, heard: false };
    for (let failed = 0; !options.signal?.aborted; ) {
      place.heard = false;
      let wait = 0;
      try {
        yield* this.#listen(place, options.signal);
      } catch (error) {
        if (options.signal?.aborted) return;
        if (!passes(error)) throw error;
        wait = error instanceof CommsApiError ? (error.retryAfterMs ?? 0) : 0;
      }
      failed = place.heard ? 0 : failed + 1;
      const backOff = failed > 1 ? Math.min(place.retryMs * 2 ** Math.min(failed - 1, 10), longestRetry) * (1 + Math.random() / 4) : 0;
      try {
        await sleep(Math.max(place.retryMs, backOff, wait), options.signal);
      } catch {
        return;
      }
    }
  }

  /** Opens the stream once and yields what comes until it ends. */
  async *#listen(place: Place, signal: AbortSignal | undefined): AsyncGenerator<StreamedEvent, void, undefined> {
    const limit = link(signal, this.#http.timeoutMs);
    let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
    try {
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (place.after !== undefined) headers["Last-Event-ID"] = place.after;
      const response = await this.#http.open({ method: "GET", path: "/api/v1/events/stream", headers }, limit.signal);
      if (!/^text\/event-stream\b/i.test(response.headers.get("content-type") ?? "") || !response.body) {
        await response.body?.cancel();
        throw new CommsApiError(response.status, "The answer of GET /api/v1/events/stream is no stream of events; is this a CommServer?", {}, undefined, undefined);
      }
      reader = response.body.getReader();
      const text = new TextDecoder();
      const frames = new Frames(place);
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        place.heard = true;
        limit.extend(deafMs);
        for (const frame of frames.take(text.decode(value, { stream: true }))) {
          let event: FeedEvent;
          try {
            event = JSON.parse(frame.data) as FeedEvent;
          } catch (cause) {
            throw new CommsAnswerError("unreadable_answer", "An event of the stream is no JSON.", cause);
          }
          limit.pause(); // what the caller does with it takes its own time
          yield { ...event, cursor: frame.id };
          limit.extend(deafMs);
        }
      }
    } finally {
      limit.done();
      // A reader that was left open would keep its connection.
      await reader?.cancel().catch(() => undefined);
    }
  }

  createWebhook(webhook: NewWebhook, options?: CallOptions): Promise<NewWebhookAnswer> {
    return this.#http.json({ method: "POST", path: "/api/v1/webhooks", body: webhook }, options);
  }

  /** All of the app's endpoints, by name. */
  listWebhooks(options?: CallOptions): Promise<WebhookPage> {
    return this.#http.json({ method: "GET", path: "/api/v1/webhooks", repeat: true }, options);
  }

  getWebhook(id: string, options?: CallOptions): Promise<Webhook> {
    return this.#http.json({ method: "GET", path: `/api/v1/webhooks/${segment(id)}`, repeat: true }, options);
  }

  changeWebhook(id: string, change: WebhookChange, options?: CallOptions): Promise<Webhook> {
    return this.#http.json({ method: "PATCH", path: `/api/v1/webhooks/${segment(id)}`, body: change, repeat: true }, options);
  }

  deleteWebhook(id: string, options?: CallOptions): Promise<void> {
    return this.#http.none({ method: "DELETE", path: `/api/v1/webhooks/${segment(id)}` }, options);
  }

  /** Another secret, shown in this answer alone. */
  rotateWebhookSecret(id: string, rotation: WebhookRotation = {}, options?: CallOptions): Promise<NewWebhookAnswer> {
    return this.#http.json({ method: "POST", path: `/api/v1/webhooks/${segment(id)}/rotate-secret`, body: rotation }, options);
  }

  /** Posts an event `webhook.test` about a message that does not exist. */
  testWebhook(id: string, options?: CallOptions): Promise<Delivery> {
    return this.#http.json({ method: "POST", path: `/api/v1/webhooks/${segment(id)}/test` }, options);
  }

  /** Posts again what was made within a time, up to 10,000 events; see `more` of the answer. */
  replayDeliveries(id: string, range: Replay, options?: CallOptions): Promise<Replayed> {
    return this.#http.json({ method: "POST", path: `/api/v1/webhooks/${segment(id)}/replay`, body: range }, options);
  }

  /** One page of an endpoint's deliveries, newest first; see deliveries. */
  listDeliveries(id: string, query: ListDeliveriesQuery = {}, options?: CallOptions): Promise<DeliveryPage> {
    return this.#http.json({ method: "GET", path: `/api/v1/webhooks/${segment(id)}/deliveries`, query, repeat: true }, options);
  }

  /** Walks through an endpoint's deliveries, newest first. */
  deliveries(id: string, query: Omit<ListDeliveriesQuery, "cursor"> = {}, options?: CallOptions): AsyncGenerator<Delivery, void, undefined> {
    return walk((cursor) => this.listDeliveries(id, { ...query, cursor }, options));
  }

  /** A delivery with what is posted and how it was answered. */
  getDelivery(id: string, delivery: string, options?: CallOptions): Promise<WholeDelivery> {
    return this.#http.json({ method: "GET", path: `/api/v1/webhooks/${segment(id)}/deliveries/${segment(delivery)}`, repeat: true }, options);
  }

  replayDelivery(id: string, delivery: string, options?: CallOptions): Promise<Delivery> {
    return this.#http.json({ method: "POST", path: `/api/v1/webhooks/${segment(id)}/deliveries/${segment(delivery)}/replay` }, options);
  }
}

/** Makes apps, for deployment automation: with the provisioning key, which is neither the administrator's nor an app's. */
export class CommsProvisioningClient {
  readonly #http: Caller;

  constructor(options: CommsProvisioningOptions) {
    this.#http = new Caller(options, { "X-Provisioning-Key": secretText("provisioningKey", options.provisioningKey) });
  }

  /** Makes an app, or answers the one that is there, with apiKey null. Asked once: an answer that is lost held the key. */
  provisionApp(app: NewApp, options?: CallOptions): Promise<Provisioned> {
    return this.#http.json({ method: "POST", path: "/api/provision/apps", body: app }, options);
  }
}

/**
 * Checks a request that a webhook endpoint got, and answers its event. It is enough that one of X-Comms-Signature and Webhook-Signature
 * fits under one of the secrets. CommsWebhookError when none does, when the timestamp is too far from now, or the body is no
 * event. A webhook may come more than once: eventId is the same then.
 */
export async function verifyWebhook(input: VerifyWebhookInput): Promise<WebhookEvent> {
  const { headers, toleranceSeconds = 300, now = Date.now() } = input;
  const body = typeof input.body === "string" ? utf8(input.body) : input.body;
  const secrets = typeof input.secret === "string" ? [input.secret] : input.secret;
  if (secrets.length === 0 || secrets.some((s) => typeof s !== "string" || s === "")) throw new TypeError("secret must be the webhook's secret, or a list of them, none empty");
  const recent = (timestamp: string): boolean => /^[0-9]{1,15}$/.test(timestamp) && Math.abs(now / 1000 - Number(timestamp)) < toleranceSeconds;
  const guideAt = header(headers, "x-comms-timestamp");
  const guide = header(headers, "x-comms-signature").toLowerCase();
  const id = header(headers, "webhook-id");
  const standardAt = header(headers, "webhook-timestamp");
  const standard = header(headers, "webhook-signature").split(/\s+/);
  let fits = false;
  for (const secret of secrets) {
    const hex = [...(await hmac(utf8(secret), guideAt + ".", body))].map((b) => b.toString(16).padStart(2, "0")).join("");
    fits = (equal(guide, hex) && recent(guideAt)) || fits;
    const code = "v1," + base64(await hmac(standardKey(secret), `${id}.${standardAt}.`, body));
    for (const one of standard) fits = (equal(one, code) && id !== "" && recent(standardAt)) || fits;
  }
  if (!fits) throw new CommsWebhookError("webhook_rejected", "The webhook's signature does not fit, or is too old.");
  let event: unknown;
  try {
    event = JSON.parse(new TextDecoder().decode(body));
  } catch (cause) {
    throw new CommsWebhookError("webhook_rejected", "The webhook's body is no JSON.", cause);
  }
  if (!isObject(event)) throw new CommsWebhookError("webhook_rejected", "The webhook's body is no event.");
  return event as unknown as WebhookEvent;
}

// --- What is below is not exported.

/** One request. */
interface Call {
  method: string;
  path: string;
  query?: object;
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is. */
  raw?: string | Uint8Array | ReadableStream<Uint8Array>;
  contentType?: string;
  headers?: Record<string, string>;
  /** A repeat leaves the server as one call does, and is answered the same. */
  repeat?: boolean;
}

const firstPause = 200;
const longestPause = 10_000;
const firstPoll = 250;
const longestPoll = 5_000;
const usualRetry = 3_000;
const longestRetry = 30_000;
const deafMs = 45_000; // the server says something every 15 seconds
const trialMs = 40_000; // longer than the server gives a provider that is tried out
const batchMost = 1000;
const batchBytes = 15 << 20; // below the server's limit of 16 MiB
const frameMost = 8 << 20; // characters: more than an event can have

class Caller {
  readonly timeoutMs: number;
  readonly #base: URL;
  readonly #retries: number;
  readonly #maxRetryAfterMs: number;
  readonly #headers: Record<string, string>;
  readonly #fetch: typeof fetch;

  constructor(options: CommonOptions, headers: Record<string, string>) {
    let base: URL | undefined;
    try {
      base = new URL(options.baseUrl);
    } catch {
      // said below, without the URL, which may hold a password
    }
    if (!base || (base.protocol !== "http:" && base.protocol !== "https:")) throw new TypeError("baseUrl must look like http://localhost:3008");
    if (base.username || base.password) throw new TypeError("baseUrl must not hold a user or a password: the key alone says who calls");
    this.#base = base;
    this.#headers = headers;
    this.timeoutMs = options.timeoutMs ?? 15_000;
    this.#retries = options.retries ?? 3;
    this.#maxRetryAfterMs = options.maxRetryAfterMs ?? 10_000;
    const used = options.fetch ?? globalThis.fetch;
    if (typeof used !== "function") throw new TypeError("this runtime has no fetch: use Node 18 or later, or give one");
    this.#fetch = (input, init) => used(input, init); // some runtimes want it called without a receiver
  }

  async json<T>(call: Call, options: CallOptions = {}): Promise<T> {
    return this.#again(call, options, async (response) => {
      const text = await response.text();
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch (cause) {
        throw new CommsAnswerError("unreadable_answer", `The answer of ${call.method} ${call.path} is no JSON; is this a CommServer?`, cause);
      }
      if (!isObject(value)) throw new CommsAnswerError("unreadable_answer", `The answer of ${call.method} ${call.path} is no JSON object; is this a CommServer?`);
      return value as T;
    });
  }

  async none(call: Call, options: CallOptions = {}): Promise<void> {
    return this.#again(call, options, async (response) => {
      await response.arrayBuffer();
    });
  }

  /** The body of a success as it arrives: timeoutMs is for its beginning. */
  async stream(call: Call, options: CallOptions = {}): Promise<ReadableStream<Uint8Array>> {
    const limit = link(options.signal, options.timeoutMs ?? this.timeoutMs);
    try {
      const response = await this.#refused(call, await this.#send(call, limit.signal));
      if (!response.body) throw new CommsAnswerError("unreadable_answer", `The answer of ${call.method} ${call.path} has no body.`);
      limit.pause(); // the signal goes on to end it
      return response.body;
    } catch (error) {
      limit.done();
      throw this.#explain(call, error, options.signal, limit, options.timeoutMs ?? this.timeoutMs);
    }
  }

  /** Opens a stream of which the caller keeps the time. */
  async open(call: Call, signal: AbortSignal): Promise<Response> {
    return this.#refused(call, await this.#send(call, signal));
  }

  async #again<T>(call: Call, options: CallOptions, read: (response: Response) => Promise<T>): Promise<T> {
    const retries = call.repeat ? (options.retries ?? this.#retries) : 0;
    for (let tries = 1; ; tries++) {
      try {
        return await this.#once(call, options, read);
      } catch (error) {
        if (!(error instanceof CommsError)) throw error;
        error.tries = tries;
        const wait = tries > retries ? undefined : this.#pause(error, tries);
        if (wait === undefined) throw error;
        await sleep(wait, options.signal);
      }
    }
  }

  async #once<T>(call: Call, options: CallOptions, read: (response: Response) => Promise<T>): Promise<T> {
    const timeoutMs = options.timeoutMs ?? this.timeoutMs;
    const limit = link(options.signal, timeoutMs);
    try {
      return await read(await this.#refused(call, await this.#send(call, limit.signal)));
    } catch (error) {
      throw this.#explain(call, error, options.signal, limit, timeoutMs);
    } finally {
      limit.done();
    }
  }

  /** Says what an error of fetch or of reading means. */
  #explain(call: Call, error: unknown, signal: AbortSignal | undefined, limit: Limit, timeoutMs: number): unknown {
    if (error instanceof CommsError || (error instanceof TypeError && wrongUse.has(error))) return error;
    if (signal?.aborted) return signal.reason;
    if (limit.signal.aborted) return new CommsTimeoutError("timeout", `${call.method} ${call.path} was not answered within ${timeoutMs} ms.`);
    return new CommsConnectionError("connection_failed", `${call.method} ${call.path} was not answered: the connection failed.`, error);
  }

  #send(call: Call, signal: AbortSignal): Promise<Response> {
    signal.throwIfAborted();
    if (/\/(\/|$)/.test(call.path)) throw misuse("the identifier is missing");
    const url = new URL(this.#base);
    url.pathname = this.#base.pathname.replace(/\/+$/, "") + call.path;
    url.search = "";
    url.hash = "";
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined && value !== null) url.searchParams.set(name, value instanceof Date ? value.toISOString() : String(value));
    }
    const headers: Record<string, string> = { Accept: "application/json", ...this.#headers, ...call.headers };
    // A redirect would take the key along to another place: it comes back as an error.
    const init: RequestInit & { duplex?: "half" } = { method: call.method, headers, signal, redirect: "manual" };
    if (call.raw !== undefined) {
      headers["Content-Type"] = call.contentType ?? "application/octet-stream";
      init.body = call.raw as string | ReadableStream<Uint8Array>;
      if (typeof call.raw !== "string" && !(call.raw instanceof Uint8Array)) init.duplex = "half";
    } else if (call.body !== undefined) {
      headers["Content-Type"] = "application/json";
      init.body = call.body instanceof Encoded ? call.body.json : encode(call.body);
    }
    return this.#fetch(url.href, init);
  }

  /** Answers the response of a success and throws that of a refusal. */
  async #refused(call: Call, response: Response): Promise<Response> {
    if (response.status >= 200 && response.status <= 299) return response;
    const requestId = response.headers.get("x-request-id") ?? undefined;
    const retryAfter = retryAfterMs(response.headers.get("retry-after"));
    let body: unknown;
    try {
      body = JSON.parse(await response.text());
    } catch {
      // not ours: a proxy's answer, perhaps
    }
    if (isObject(body) && typeof body["error"] === "string" && body["error"] !== "") {
      throw new CommsApiError(response.status, body["error"], isObject(body["details"]) ? (body["details"] as Partial<ErrorDetails>) : {}, requestId, retryAfter);
    }
    const place = response.type === "opaqueredirect" ? "with a redirect, which is not followed" : String(response.status);
    throw new CommsApiError(response.status, `The server answered ${call.method} ${call.path} ${place}.`, {}, requestId, retryAfter);
  }

  /** How long to wait before the call is made again; undefined: it is not. */
  #pause(error: CommsError, tries: number): number | undefined {
    if (error instanceof CommsApiError) {
      if (error.status === 429 || error.status === 503) {
        if (error.retryAfterMs !== undefined) return error.retryAfterMs <= this.#maxRetryAfterMs ? error.retryAfterMs : undefined;
      } else if (error.status !== 408 && error.status !== 502 && error.status !== 504) {
        return undefined;
      }
    }
    const pause = Math.min(firstPause * 2 ** Math.min(tries - 1, 6), longestPause);
    return pause / 2 + (Math.random() * pause) / 2;
  }
}

/** Mistakes of the caller that are found late, apart from the TypeErrors that fetch throws when a connection fails. */
const wrongUse = new WeakSet<TypeError>();

function encode(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    throw misuse("the request cannot be written as JSON: " + (cause instanceof Error ? cause.message : "it holds something else"));
  }
}

function misuse(text: string): TypeError {
  const error = new TypeError(text);
  wrongUse.add(error);
  return error;
}

/** What ended a send, as an error that has room for its keys. Beside this client's own errors only a signal ends one: its body is written before. */
function ofSend(error: unknown): CommsError {
  if (error instanceof CommsError) return error;
  return new CommsAbortError("aborted", "The call was ended by its signal: whether the server has accepted what was not answered is not known.", error);
}

/** Says that an item of a batch's answer tells what became of its message. */
function isOutcome(item: unknown): boolean {
  return isObject(item) && (typeof item["id"] === "string" || typeof item["error"] === "string");
}

/** A body that is JSON already. */
class Encoded {
  readonly json: string;
  constructor(json: string) {
    this.json = json;
  }
}

type Keyed = NewMessage & { idempotencyKey: string };

/** The message with its key, and its attachments as JSON takes them. */
function withKey(message: NewMessage): Keyed {
  const keyed: Keyed = { ...message, idempotencyKey: message.idempotencyKey || newKey() };
  if (keyed.attachments) {
    keyed.attachments = keyed.attachments.map((a) => (typeof a.content === "string" ? a : { ...a, content: base64(a.content) }));
  }
  return keyed;
}

/** Splits messages into bodies that the server takes. One that is too large alone gets a request of its own, which is refused. */
function* parts(messages: readonly Keyed[]): Generator<{ from: number; to: number; body: Encoded }> {
  let from = 0;
  let size = 0;
  let items: string[] = [];
  for (let i = 0; i < messages.length; i++) {
    const json = encode(messages[i]);
    const bytes = utf8(json).length + 1;
    if (items.length === batchMost || (items.length > 0 && size + bytes > batchBytes)) {
      yield { from, to: i, body: new Encoded(`{"messages":[${items.join(",")}]}`) };
      [from, size, items] = [i, 0, []];
    }
    items.push(json);
    size += bytes;
  }
  if (items.length > 0) yield { from, to: messages.length, body: new Encoded(`{"messages":[${items.join(",")}]}`) };
}

/** Walks through a list page by page. */
async function* walk<T>(read: (cursor: string | undefined) => Promise<{ data: T[]; nextCursor: string | null }>): AsyncGenerator<T, void, undefined> {
  for (let cursor: string | undefined; ; ) {
    const page = await read(cursor);
    yield* page.data;
    if (page.nextCursor === null || page.nextCursor === undefined) return;
    if (page.nextCursor === cursor) throw new CommsAnswerError("unreadable_answer", "A page of the list leads to itself.");
    cursor = page.nextCursor;
  }
}

function isOver(status: string, until: "SENT" | "DELIVERED"): boolean {
  return status === "DELIVERED" || status === "FAILED" || status === "SUPPRESSED" || status === "CANCELLED" || (until === "SENT" && status === "SENT");
}

/** Where a reader of the stream is. */
interface Place {
  after: string | undefined;
  retryMs: number;
  heard: boolean;
}

/** Takes Server-Sent Events (WHATWG HTML, 9.2) out of pieces of text. One that was cut off is told again by the next connection. */
class Frames {
  readonly #place: Place;
  #rest = "";
  #data: string[] = [];
  #id: string | undefined;

  constructor(place: Place) {
    this.#place = place;
  }

  *take(text: string): Generator<{ id: string; data: string }> {
    this.#rest += text;
    for (;;) {
      const end = this.#rest.search(/[\r\n]/);
      if (end < 0 && this.#rest.length > frameMost) throw new CommsAnswerError("unreadable_answer", "A line of the stream is too long.");
      // After a carriage return a line feed may follow with the next piece.
      if (end < 0 || (this.#rest[end] === "\r" && end + 1 === this.#rest.length)) return;
      const line = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + (this.#rest.startsWith("\r\n", end) ? 2 : 1));
      if (line !== "") {
        this.#field(line);
        continue;
      }
      if (this.#id !== undefined) this.#place.after = this.#id; // only now the event is whole
      const data = this.#data;
      this.#data = [];
      this.#id = undefined;
      if (data.length > 0) yield { id: this.#place.after ?? "", data: data.join("\n") };
    }
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^[0-9]{1,9}$/.test(value)) this.#place.retryMs = Number(value);
  }
}

/** Says of an error of the stream that another try may go well. */
function passes(error: unknown): boolean {
  if (error instanceof CommsAnswerError) return false;
  return !(error instanceof CommsApiError) || [408, 429, 500, 502, 503, 504].includes(error.status);
}

/** A signal that is aborted by another one, or after a time. */
interface Limit {
  signal: AbortSignal;
  /** Sets the time anew. */
  extend(ms: number): void;
  /** Takes the time off. */
  pause(): void;
  /** Takes everything off. */
  done(): void;
}

function link(outer: AbortSignal | undefined, ms: number): Limit {
  const inner = new AbortController();
  const abort = (): void => inner.abort(outer?.reason);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const pause = (): void => clearTimeout(timer);
  const extend = (more: number): void => {
    pause();
    if (more > 0) timer = setTimeout(() => inner.abort(), Math.min(more, 2 ** 31 - 1));
  };
  if (outer?.aborted) abort();
  else outer?.addEventListener("abort", abort, { once: true });
  extend(ms);
  return {
    signal: inner.signal,
    extend,
    pause,
    done: () => {
      pause();
      outer?.removeEventListener("abort", abort);
    },
  };
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

function atLeast(options: CallOptions | undefined, ms: number, http: Caller): CallOptions {
  return { ...options, timeoutMs: options?.timeoutMs ?? Math.max(http.timeoutMs, ms) };
}

/** An identifier as one part of a path. Without one the path would be that of something else: such a call is not made. */
function segment(id: string): string {
  const text = typeof id === "string" ? id.trim() : "";
  return text === "." || text === ".." ? "" : encodeURIComponent(text);
}

/** A credential as headers take it. The error does not show it, as that of fetch would. */
function secretText(name: string, value: string): string {
  const text = typeof value === "string" ? value.trim() : "";
  if (text === "") throw new TypeError(`${name} is missing`);
  if (!/^[\x21-\x7e]+$/.test(text)) throw new TypeError(`${name} holds a character that no header can have`);
  return text;
}

function retryAfterMs(value: string | null): number | undefined {
  if (value === null || value.trim() === "") return undefined;
  if (/^[0-9]{1,9}$/.test(value.trim())) return Number(value) * 1000 || undefined;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now()) || undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** WebCrypto, which Node 18 does not show to modules. */
const crypto_: Crypto | undefined = (globalThis as { crypto?: Crypto }).crypto;

function newKey(): string {
  const bytes = new Uint8Array(16);
  if (crypto_) crypto_.getRandomValues(bytes);
  else for (let i = 0; i < bytes.length; i++) bytes[i] = Math.random() * 256; // a key must be unique, not secret
  return "auto-" + [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
}

function header(headers: HeadersLike, name: string): string {
  if (typeof headers.get === "function") return (headers as { get(name: string): string | null }).get(name) ?? "";
  for (const [key, value] of Object.entries(headers as Record<string, string | readonly string[] | undefined>)) {
    if (key.toLowerCase() === name) return typeof value === "string" ? value : (value?.join(" ") ?? "");
  }
  return "";
}

/** Compares in a time that does not depend on where the two differ. */
function equal(given: string, wanted: string): boolean {
  let different = given.length ^ wanted.length;
  for (let i = 0; i < wanted.length; i++) different |= given.charCodeAt(i % (given.length || 1)) ^ wanted.charCodeAt(i);
  return different === 0;
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

/** What is behind whsec_, decoded; a secret of another form stands for its bytes. */
function standardKey(secret: string): Uint8Array {
  const coded = secret.startsWith("whsec_") ? secret.slice(6) : "";
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(coded) || coded === "") return utf8(secret);
  return Uint8Array.from(atob(coded), (c) => c.charCodeAt(0));
}

/** HMAC-SHA256 (RFC 2104) over a text and a body. */
async function hmac(key: Uint8Array, text: string, body: Uint8Array): Promise<Uint8Array> {
  const message = joined(utf8(text), body);
  if (crypto_?.subtle) {
    const imported = await crypto_.subtle.importKey("raw", key as BufferSource, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    return new Uint8Array(await crypto_.subtle.sign("HMAC", imported, message as BufferSource));
  }
  const padded = new Uint8Array(64);
  padded.set(key.length > 64 ? sha256(key) : key);
  return sha256(joined(padded.map((b) => b ^ 0x5c), sha256(joined(padded.map((b) => b ^ 0x36), message))));
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

/** SHA-256 (FIPS 180-4), where the runtime has none. Its constants are the fractions of roots of primes, which are worked out here. */
function sha256(message: Uint8Array): Uint8Array {
  const fraction = (x: number): number => ((x - Math.floor(x)) * 2 ** 32) | 0;
  const primes: number[] = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p !== 0)) primes.push(n);
  const k = primes.map((p) => fraction(Math.cbrt(p)));
  const hash = primes.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
  const turn = (x: number, by: number): number => (x >>> by) | (x << (32 - by));
  const padded = new Uint8Array(Math.ceil((message.length + 9) / 64) * 64);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(message.length / 2 ** 29));
  view.setUint32(padded.length - 4, message.length << 3);
  const w = new Int32Array(64);
  for (let at = 0; at < padded.length; at += 64) {
    for (let i = 0; i < 64; i++) {
      if (i < 16) {
        w[i] = view.getInt32(at + 4 * i);
        continue;
      }
      const [a, b] = [w[i - 15]!, w[i - 2]!];
      w[i] = w[i - 16]! + w[i - 7]! + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = hash as [number, number, number, number, number, number, number, number];
    for (let i = 0; i < 64; i++) {
      const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + k[i]! + w[i]!) | 0;
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((x, i) => (hash[i] = (hash[i]! + x) | 0));
  }
  const out = new DataView(new ArrayBuffer(32));
  hash.forEach((x, i) => out.setInt32(4 * i, x));
  return new Uint8Array(out.buffer);
}

// --- Generated from the contract and the error codes by `make docs`; a test fails when it is stale.

/** Query of exportPerson. */
export interface ExportPersonQuery {
  /** An email address or a phone number. */
  address: string;
  /** Without it, what holds an @ is an email address. */
  channel?: Channel | undefined;
}

/** Query of exportSuppressions. */
export interface ExportSuppressionsQuery {
  /** Default: "csv". */
  format?: "csv" | "jsonl" | undefined;
}

/** Query of getStats. */
export interface GetStatsQuery {
  /** How far back from now, in steps of `bucketSeconds`: the oldest step begins with a whole one, so that the window is up to one step shorter than its name. Default: "24h". */
  window?: "1h" | "24h" | "7d" | "30d" | undefined;
}

/** Query of listCaptures. */
export interface ListCapturesQuery {
  /** Recipient, normalised as when a message is accepted: an email address in any case, or a phone number. Copies (cc, bcc) are not searched. A page may then be shorter than limit and lead on. */
  to?: string | undefined;
  channel?: Channel | undefined;
  /** Exclusive. */
  createdAfter?: string | Date | undefined;
  /** Exclusive. */
  createdBefore?: string | Date | undefined;
  /** Default: 20. */
  limit?: number | undefined;
  /** nextCursor of the page before, with the same filters. */
  cursor?: string | undefined;
}

/** Query of listDeliveries. */
export interface ListDeliveriesQuery {
  state?: "waiting" | "delivered" | "failed" | undefined;
  messageId?: string | undefined;
  /** Exclusive. */
  createdAfter?: string | Date | undefined;
  /** Exclusive. */
  createdBefore?: string | Date | undefined;
  /** Default: 20. */
  limit?: number | undefined;
  /** nextCursor of the page before, with the same filters. */
  cursor?: string | undefined;
}

/** Query of listEvents. */
export interface ListEventsQuery {
  /** nextCursor of the page before; without it the page begins with the oldest event. */
  after?: string | undefined;
  /** Default: 20. */
  limit?: number | undefined;
}

/** Query of listMessages. */
export interface ListMessagesQuery {
  status?: MessageStatus | undefined;
  channel?: Channel | undefined;
  /** Recipient, normalised as when a message is accepted: an email address in any case, or a phone number. Copies (cc, bcc) are not searched. */
  to?: string | undefined;
  /** Exactly one of the message's tags, in the same case. */
  tag?: string | undefined;
  /** Messages that were rendered from the template with this key, also one that is gone. */
  templateKey?: string | undefined;
  /** Exclusive. */
  createdAfter?: string | Date | undefined;
  /** Exclusive. */
  createdBefore?: string | Date | undefined;
  /** Default: 20. */
  limit?: number | undefined;
  /** nextCursor of the page before, with the same filters. */
  cursor?: string | undefined;
}

/** Query of listSuppressions. */
export interface ListSuppressionsQuery {
  channel?: Channel | undefined;
  /** Exactly this one, however it is written. */
  address?: string | undefined;
  reason?: "manual" | "hard_bounce" | "complaint" | "unsubscribed" | undefined;
  /** Exclusive. */
  createdAfter?: string | Date | undefined;
  /** Exclusive. */
  createdBefore?: string | Date | undefined;
  /** Default: 20. */
  limit?: number | undefined;
  /** nextCursor of the page before, with the same filters. */
  cursor?: string | undefined;
}

/** Query of listTemplates. */
export interface ListTemplatesQuery {
  channel?: Channel | undefined;
  /** Exactly this key. */
  key?: string | undefined;
  /** Default: 20. */
  limit?: number | undefined;
  /** nextCursor of the page before, with the same filters. */
  cursor?: string | undefined;
}

/** Query of removeSuppression. */
export interface RemoveSuppressionQuery {
  channel: Channel;
  /** However it is written. */
  address: string;
}

/** Query of waitForCapture. */
export interface WaitForCaptureQuery {
  /** The recipient, in any form that it can be sent to. */
  to: string;
  channel?: Channel | undefined;
  /** Exclusive. A minute ago if it is not given. */
  createdAfter?: string | Date | undefined;
  /** Seconds to wait. Default: 30. */
  timeout?: number | undefined;
}

export interface Accepted {
  id: string;
  status: MessageStatus;
  /** True when this is the original message of a repeated request. */
  deduplicated?: boolean | undefined;
  encoding?: "GSM7" | "UCS2" | undefined;
  /** SMS: how many segments it takes. */
  segments?: number | undefined;
  warnings?: Warning[] | undefined;
}

export interface Action {
  action: "CANCEL" | "RETRY";
}

export interface App {
  id: string;
  slug: string;
  name: string;
  /** The logger takes every message; nothing is really sent. */
  sandboxMode: boolean;
  isActive: boolean;
  /** PAUSED: nothing of the app starts. DRAINING: new messages are refused while what waits goes out. */
  queueState: "RUNNING" | "PAUSED" | "DRAINING";
  /** Submissions per minute. */
  ratePerMinute: number;
  /** What follows an attempt whose outcome nobody knows. */
  onUnknownOutcome: "RETRY" | "FAIL";
  webhookUrl: string | null;
  /** Senders that a live app may use on the server's providers. */
  allowedSenders: string[];
  createdAt: string | null;
  updatedAt: string | null;
  /** Segments of SMS that a live app may have accepted in a UTC day, each segment counting one; null: any number. What is over it is 429 quota_exceeded. */
  smsPerDay: number | null;
  /** Beginnings of the numbers that a live app's SMS may go to, in digits with the country code; empty: any. Others are 403 number_not_allowed. */
  smsPrefixes: string[];
  /** The same by the beginning of the number: segments that may be accepted in a UTC day to numbers that begin so, 0: none (403 number_not_allowed). A number that begins with several counts under each of them, and under smsPerDay. */
  smsPerDayByPrefix: Record<string, number>;
  /** Segments counted in the UTC day of now; null without smsPerDay. */
  smsToday: number | null;
  /** Segments counted in the UTC day of now, for each name of smsPerDayByPrefix. */
  smsTodayByPrefix: Record<string, number>;
  /** When a day's SMS last passed five times the usual number, in all or under a prefix; null: never, or without caps. */
  smsAlarmAt: string | null;
}

export interface AppChange {
  onUnknownOutcome?: "RETRY" | "FAIL" | undefined;
  sandboxMode?: boolean | undefined;
  /** https, with a public host; null removes it. */
  webhookUrl?: string | null | undefined;
}

export interface ArkeselConfig {
  /** Key of Arkesel's SMS API, version 2. Stored encrypted, never shown again. */
  apiKey: string;
  /** Address that the provider's API is called at, if other than the usual one. */
  baseUrl?: string | undefined;
  /** Sender of messages that name none: up to 11 letters and digits, or a number. The provider must have approved it. */
  senderId?: string | undefined;
  /** transactional or promotional: sent along with messages to numbers in Nigeria alone, where Arkesel wants to know. */
  useCase?: "transactional" | "promotional" | undefined;
  /** Secret that Arkesel signs delivery reports with, if the account has one. Reports are then accepted only if they are signed with it. */
  webhookSecret?: string | undefined;
}

export interface Attachment {
  /** 1 to 255 bytes, without slashes. */
  filename: string;
  /** A media type such as application/pdf; not multipart/… and not message/…. */
  contentType: string;
  /** Base64 with padding. */
  content: string | Uint8Array;
}

export interface Attempt {
  attempt: number;
  /** 1, and one more for every RETRY. */
  generation: number;
  provider: string | null;
  /** The provider configuration that was called. Null of the sandbox, and for an app of one that is not its own or no longer there. */
  configId: string | null;
  /** Its name of now; null where configId is, and once it is deleted. */
  configName: string | null;
  /** Whose it is: the app's own, or of the server-level chain. Null of the sandbox and of one that is no longer there. */
  configLevel: "APP" | "SERVER" | null;
  startedAt: string | null;
  endedAt: string | null;
  outcome: "running" | "accepted" | "failed" | "rejected" | "throttled" | "not_started" | "unknown";
  providerMessageId: string | null;
  errorCode: string | null;
  detail: string | null;
}

export interface BatchAccepted {
  data: BatchItem[];
}

/** id and status of a message that is stored, or error and details of one that is refused. */
export interface BatchItem {
  /** Place in messages, from 0. */
  index: number;
  /** True when this is the original message of a repeated request. */
  deduplicated?: boolean | undefined;
  /** What machines may use. Further members depend on the code. */
  details?: {
    /** Stable code; docs/errors.md lists all. */
    code: string;
    /** Path of each wrong field and why. */
    fields?: Record<string, string> | undefined;
    [member: string]: unknown;
  } | undefined;
  encoding?: "GSM7" | "UCS2" | undefined;
  /** A sentence that says how to fix it. */
  error?: string | undefined;
  id?: string | undefined;
  /** SMS: how many segments it takes. */
  segments?: number | undefined;
  status?: MessageStatus | undefined;
  warnings?: Warning[] | undefined;
}

export interface CallbackRotation {
  /** For how long reports to the URL before are taken too. URLs that were replaced before are taken until their own ends; 0 ends all of them at once. 409 invalid_state while two of them are taken: the message says when another rotation is possible. Default: 0. */
  overlapSeconds?: number | undefined;
}

export interface Capture {
  id: string;
  channel: Channel;
  toAddress: string | null;
  fromAddress: string | null;
  cc: string[];
  bcc: string[];
  replyTo: string | null;
  headers: Record<string, string>;
  subject: string | null;
  body: string | null;
  text: string | null;
  /** How many files. */
  attachments: number;
  segments: number | null;
  encoding: string | null;
  tags: string[];
  metadata: Record<string, unknown> | null;
  /** When the sandbox took it. */
  capturedAt: string | null;
}

export interface CapturePage {
  data: Capture[];
  /** Pass it back as cursor for the next page. */
  nextCursor: string | null;
}

export interface ChangedApp {
  id: string;
  slug: string;
  name: string;
  /** The logger takes every message; nothing is really sent. */
  sandboxMode: boolean;
  isActive: boolean;
  /** PAUSED: nothing of the app starts. DRAINING: new messages are refused while what waits goes out. */
  queueState: "RUNNING" | "PAUSED" | "DRAINING";
  /** Submissions per minute. */
  ratePerMinute: number;
  /** What follows an attempt whose outcome nobody knows. */
  onUnknownOutcome: "RETRY" | "FAIL";
  webhookUrl: string | null;
  /** Senders that a live app may use on the server's providers. */
  allowedSenders: string[];
  createdAt: string | null;
  updatedAt: string | null;
  warnings: Warning[];
  /** Segments of SMS that a live app may have accepted in a UTC day, each segment counting one; null: any number. What is over it is 429 quota_exceeded. */
  smsPerDay: number | null;
  /** Beginnings of the numbers that a live app's SMS may go to, in digits with the country code; empty: any. Others are 403 number_not_allowed. */
  smsPrefixes: string[];
  /** The same by the beginning of the number: segments that may be accepted in a UTC day to numbers that begin so, 0: none (403 number_not_allowed). A number that begins with several counts under each of them, and under smsPerDay. */
  smsPerDayByPrefix: Record<string, number>;
  /** Segments counted in the UTC day of now; null without smsPerDay. */
  smsToday: number | null;
  /** Segments counted in the UTC day of now, for each name of smsPerDayByPrefix. */
  smsTodayByPrefix: Record<string, number>;
  /** When a day's SMS last passed five times the usual number, in all or under a prefix; null: never, or without caps. */
  smsAlarmAt: string | null;
  /** Only when it was generated just now: it is shown once. */
  webhookSecret?: string | undefined;
}

export interface ChangedMessage {
  id: string;
  channel: Channel;
  status: MessageStatus;
  /** Normalised: an SMS number is digits without +. */
  toAddress: string | null;
  fromAddress: string | null;
  subject: string | null;
  templateKey: string | null;
  templateVersion: number | null;
  /** The last provider tried, in lower case; sandbox for the logger. */
  providerName: string | null;
  providerMessageId: string | null;
  errorCode: string | null;
  errorMessage: string | null;
  /** Provider calls started. */
  attempts: number;
  /** The outcome of an attempt is not known and the message was, or will be, sent again: its recipient may get it twice. */
  possibleDuplicate: boolean;
  /** FAILED, but an attempt may have reached the provider. */
  mayHaveBeenSent: boolean;
  /** SENT, and the provider, which reports what became of messages, has not done so within COMMS_RECEIPT_TIMEOUT (72 hours). Never in the sandbox. */
  unconfirmed: boolean;
  /** Why a QUEUED message does not start: schedule, retry, turn, repeat, app_paused, queue_paused, held, provider_throttled, provider_down, provider_rate, provider_busy, server_busy, credentials_unavailable, provider_off, provider_unsupported. What a provider or the server is waited for is known up to two seconds late, as turn until then. */
  waitingFor: string | null;
  /** When a QUEUED message is tried next, if that is known. */
  nextAttemptAt: string | null;
  /** After it no attempt of a QUEUED message begins, and it fails: expiresAt, or COMMS_RETRY_HORIZON (24 hours) after the first attempt since it was queued. Null while it has neither. */
  retriesUntil: string | null;
  /** As requested. */
  scheduledAt: string | null;
  /** From then on no attempt starts. */
  expiresAt: string | null;
  /** When it was accepted. */
  createdAt: string | null;
  /** The last change of state. */
  updatedAt: string | null;
  /** When a provider accepted it. */
  sentAt: string | null;
  /** When a report said that it arrived. */
  deliveredAt: string | null;
  metadata: Record<string, unknown> | null;
  tags: string[];
  lane: "CRITICAL" | "NORMAL" | "BULK";
  /** Accepted in sandbox mode. */
  sandbox: boolean;
  segments: number | null;
  encoding: "GSM7" | "UCS2" | null;
  idempotencyKey: string | null;
  /** Null once retention removed it. */
  body: string | null;
  /** Why body, subject and the rest of the content are not shown: retention removed them, or an erasure did; or what is stored of them cannot be read (unreadable), while everything else of the message is right. */
  contentRemoved: "content_purged" | "erased" | "unreadable" | null;
  events: TimelineEvent[];
  attemptLog: Attempt[];
  /** RETRY of a message that may have been sent already. */
  mayDuplicate: boolean;
}

export type Channel = "EMAIL" | "SMS";

export interface Delivery {
  id: string;
  /** X-Comms-Event-Id. */
  eventId: string;
  messageId: string;
  /** That the message came to; null for a test. */
  status: string | null;
  /** waiting: it is tried, or tried again. delivered: it was answered with 2xx. failed: every try failed; it can be replayed. */
  state: "waiting" | "delivered" | "failed";
  attempts: number;
  /** When it is tried next: when it is due, and not before the end of the time for which the server leaves the endpoint alone. null: it is not tried any more. */
  nextAttemptAt: string | null;
  createdAt: string | null;
  endedAt: string | null;
  /** The last call, as in attemptLog; null: there was none yet. */
  lastAttempt: {
    attempt: number;
    at: string;
    tookMs: number;
    /** null: there was no answer. */
    status: number | null;
    fault: string | null;
    /** The beginning of the answer, for the administrator; null for an app. */
    answer: string | null;
  } | null;
}

export interface DeliveryPage {
  data: Delivery[];
  /** Pass it back as cursor for the next page. */
  nextCursor: string | null;
}

export interface Erasure {
  id: string;
  /** The app's id; null: every app. */
  app: string | null;
  channel: Channel;
  status: "RUNNING" | "DONE";
  /** messages: those to the address; mentions: other messages that name it; settling: once more, for what was on its way. */
  stage: "queued" | "messages" | "mentions" | "settling" | "done";
  /** Messages to the address whose content and recipient are gone, as far as it was noted: after a crash it may be fewer than are gone. */
  erased: number;
  /** Of them, those that had not ended. */
  cancelled: number;
  /** Other messages in which the address was masked. */
  masked: number;
  /** Messages whose provider call is under way: they are erased when it has ended. */
  waiting: number;
  /** When it was asked for. */
  createdAt: string | null;
  /** The last step. */
  updatedAt: string | null;
  /** null until it is done. The stored address goes then too. */
  finishedAt: string | null;
}

export interface TimelineEvent {
  /** Per message, from 1. */
  sequence: number;
  /** The cause; docs/states.md lists all. */
  type: string;
  from: string | null;
  to: string | null;
  /** Database clock. */
  at: string | null;
  attempt: number | null;
  provider: string | null;
  providerMessageId: string | null;
  errorCode: string | null;
  detail: string | null;
}

export interface EventPage {
  data: FeedEvent[];
  /** Where the next page begins; also after the last event there is. */
  nextCursor: string;
}

/** What became of a message, as a webhook tells it: the message as it was then, whatever has happened since. */
export interface FeedEvent {
  event: "message.status";
  message: {
    id: string;
    channel: Channel;
    status: MessageStatus;
    toAddress: string | null;
    providerName: string | null;
    providerMessageId: string | null;
    errorMessage: string | null;
    attempts: number;
    sentAt: string | null;
    /** As the request had it; null once the content is removed. */
    metadata: Record<string, unknown> | null;
  };
  /** The same in every webhook and page that tells of the event, and of no other event, also after the server was restored from a backup. Its parts say nothing to rely on. */
  eventId: string;
  /** Of the message's events. */
  sequence: number;
  /** The cause, a word of the message's events. */
  type: string;
  createdAt: string;
}

export interface HubtelConfig {
  /** Client id of Hubtel's SMS API; it is another one than that of payments. */
  clientId: string;
  /** Secret that belongs to the client id. Stored encrypted, never shown again. */
  clientSecret: string;
  /** Address that the provider's API is called at, if other than the usual one. */
  baseUrl?: string | undefined;
  /** Sender of messages that name none: up to 11 letters and digits, or a number. The provider must have approved it. */
  senderId?: string | undefined;
}

/** An id: c and 24 lower-case base-36 digits, sortable by creation time. */
export type Id = string;

export interface Imported {
  added: number;
  /** Were on the list already. */
  present: number;
  refused: number;
  errors: ImportedLine[];
  /** Refused lines that errors does not list. */
  errorsOmitted: number;
}

export interface ImportedLine {
  /** Counted from 1, with the header. */
  line: number;
  /** A sentence that says how to fix it. */
  error: string;
  /** What machines may use. Further members depend on the code. */
  details: {
    /** Stable code; docs/errors.md lists all. */
    code: string;
    /** Path of each wrong field and why. */
    fields?: Record<string, string> | undefined;
    [member: string]: unknown;
  };
}

/** A whole message. Every field is always there. */
export interface Message {
  id: string;
  channel: Channel;
  status: MessageStatus;
  /** Normalised: an SMS number is digits without +. */
  toAddress: string | null;
  fromAddress: string | null;
  subject: string | null;
  templateKey: string | null;
  templateVersion: number | null;
  /** The last provider tried, in lower case; sandbox for the logger. */
  providerName: string | null;
  providerMessageId: string | null;
  errorCode: string | null;
  errorMessage: string | null;
  /** Provider calls started. */
  attempts: number;
  /** The outcome of an attempt is not known and the message was, or will be, sent again: its recipient may get it twice. */
  possibleDuplicate: boolean;
  /** FAILED, but an attempt may have reached the provider. */
  mayHaveBeenSent: boolean;
  /** SENT, and the provider, which reports what became of messages, has not done so within COMMS_RECEIPT_TIMEOUT (72 hours). Never in the sandbox. */
  unconfirmed: boolean;
  /** Why a QUEUED message does not start: schedule, retry, turn, repeat, app_paused, queue_paused, held, provider_throttled, provider_down, provider_rate, provider_busy, server_busy, credentials_unavailable, provider_off, provider_unsupported. What a provider or the server is waited for is known up to two seconds late, as turn until then. */
  waitingFor: string | null;
  /** When a QUEUED message is tried next, if that is known. */
  nextAttemptAt: string | null;
  /** After it no attempt of a QUEUED message begins, and it fails: expiresAt, or COMMS_RETRY_HORIZON (24 hours) after the first attempt since it was queued. Null while it has neither. */
  retriesUntil: string | null;
  /** As requested. */
  scheduledAt: string | null;
  /** From then on no attempt starts. */
  expiresAt: string | null;
  /** When it was accepted. */
  createdAt: string | null;
  /** The last change of state. */
  updatedAt: string | null;
  /** When a provider accepted it. */
  sentAt: string | null;
  /** When a report said that it arrived. */
  deliveredAt: string | null;
  metadata: Record<string, unknown> | null;
  tags: string[];
  lane: "CRITICAL" | "NORMAL" | "BULK";
  /** Accepted in sandbox mode. */
  sandbox: boolean;
  segments: number | null;
  encoding: "GSM7" | "UCS2" | null;
  idempotencyKey: string | null;
  /** Null once retention removed it. */
  body: string | null;
  /** Why body, subject and the rest of the content are not shown: retention removed them, or an erasure did; or what is stored of them cannot be read (unreadable), while everything else of the message is right. */
  contentRemoved: "content_purged" | "erased" | "unreadable" | null;
  events: TimelineEvent[];
  attemptLog: Attempt[];
}

/** A message as lists show it. Every field is always there. */
export interface MessageItem {
  id: string;
  channel: Channel;
  status: MessageStatus;
  /** Normalised: an SMS number is digits without +. */
  toAddress: string | null;
  fromAddress: string | null;
  subject: string | null;
  templateKey: string | null;
  templateVersion: number | null;
  /** The last provider tried, in lower case; sandbox for the logger. */
  providerName: string | null;
  providerMessageId: string | null;
  errorCode: string | null;
  errorMessage: string | null;
  /** Provider calls started. */
  attempts: number;
  /** The outcome of an attempt is not known and the message was, or will be, sent again: its recipient may get it twice. */
  possibleDuplicate: boolean;
  /** FAILED, but an attempt may have reached the provider. */
  mayHaveBeenSent: boolean;
  /** SENT, and the provider, which reports what became of messages, has not done so within COMMS_RECEIPT_TIMEOUT (72 hours). Never in the sandbox. */
  unconfirmed: boolean;
  /** Why a QUEUED message does not start: schedule, retry, turn, repeat, app_paused, queue_paused, held, provider_throttled, provider_down, provider_rate, provider_busy, server_busy, credentials_unavailable, provider_off, provider_unsupported. What a provider or the server is waited for is known up to two seconds late, as turn until then. */
  waitingFor: string | null;
  /** When a QUEUED message is tried next, if that is known. */
  nextAttemptAt: string | null;
  /** After it no attempt of a QUEUED message begins, and it fails: expiresAt, or COMMS_RETRY_HORIZON (24 hours) after the first attempt since it was queued. Null while it has neither. */
  retriesUntil: string | null;
  /** As requested. */
  scheduledAt: string | null;
  /** From then on no attempt starts. */
  expiresAt: string | null;
  /** When it was accepted. */
  createdAt: string | null;
  /** The last change of state. */
  updatedAt: string | null;
  /** When a provider accepted it. */
  sentAt: string | null;
  /** When a report said that it arrived. */
  deliveredAt: string | null;
  metadata: Record<string, unknown> | null;
  tags: string[];
  lane: "CRITICAL" | "NORMAL" | "BULK";
  /** Accepted in sandbox mode. */
  sandbox: boolean;
  segments: number | null;
  encoding: "GSM7" | "UCS2" | null;
  idempotencyKey: string | null;
}

export interface MessagePage {
  data: MessageItem[];
  /** Pass it back as cursor for the next page. */
  nextCursor: string | null;
}

export interface MnotifyConfig {
  /** Key of mNotify's API, version 2. Stored encrypted, never shown again. */
  apiKey: string;
  /** Address that the provider's API is called at, if other than the usual one. */
  baseUrl?: string | undefined;
  /** Sender of messages that name none: up to 11 letters and digits, or a number. The provider must have approved it. */
  senderId?: string | undefined;
}

export interface NaloConfig {
  /** Key of the account; or give username and password instead. Stored encrypted, never shown again. */
  authKey?: string | undefined;
  /** Address that the provider's API is called at, if other than the usual one. */
  baseUrl?: string | undefined;
  /** Password of the user name. Stored encrypted, never shown again. */
  password?: string | undefined;
  /** Sender of messages that name none: up to 11 letters and digits, or a number. The provider must have approved it. */
  senderId?: string | undefined;
  /** User name of the account, together with password, where there is no authKey. */
  username?: string | undefined;
}

export interface NewApp {
  /** 1 to 100 characters. */
  name: string;
  /** 2 to 40 lower-case letters, digits and single dashes. */
  slug: string;
  /** Default: 600. */
  ratePerMinute?: number | undefined;
  /** Issue a new key although the app exists; keys that provisioning issued before end. */
  rotateKey?: boolean | undefined;
  /** How long the old keys still work after rotateKey. Default: 0. */
  rotateOverlapSeconds?: number | undefined;
  /** Default SEND and READ; when a key is rotated, those of the last key. */
  scopes?: Scope[] | undefined;
  /** Refresh rate limit and webhook settings of an existing app. */
  updateExisting?: boolean | undefined;
  /** 16 to 200 bytes; generated when there is an address but no secret. */
  webhookSecret?: string | undefined;
  webhookUrl?: string | undefined;
}

export interface NewBatch {
  messages: NewMessage[];
}

export interface NewErasure {
  /** An email address or a phone number. */
  address: string;
  channel?: Channel | undefined;
}

export interface NewMessage {
  channel: Channel;
  /** One recipient: an email address, or an international phone number such as 233241234567. */
  to: string;
  /** EMAIL only; 10 MiB in all. */
  attachments?: Attachment[] | undefined;
  /** EMAIL only. */
  bcc?: string[] | undefined;
  /** HTML of an email (at most 512 KiB) or plain text of an SMS (at most 10 segments). Required without templateKey. */
  body?: string | undefined;
  /** EMAIL only; cc and bcc take at most 50 addresses together. The outcome of the message is that of its first recipient: a copy that the mail server refuses, even for now, is not sent again, and the log of the message says how many were. A copy whose address is on the opt-out list when an attempt starts is left out of it, which the log says too. */
  cc?: string[] | undefined;
  /** Email sender, such as Name <name@example.com> with at most 256 bytes of name, or SMS sender id: up to 11 letters and digits, or 3 to 15 digits. */
  from?: string | undefined;
  /** EMAIL only: at most 20; X-… and auto-submitted, comments, feedback-id, importance, in-reply-to, keywords, list-archive, list-help, list-id, list-owner, list-post, list-subscribe, list-unsubscribe, list-unsubscribe-post, organization, precedence, priority, references. */
  headers?: Record<string, string> | undefined;
  /** 1 to 255 printable ASCII characters. A repeated request with the same key and content answers the original message and sends nothing. The header Idempotency-Key is an alternative. */
  idempotencyKey?: string | undefined;
  /** Who goes first. Default: "NORMAL". */
  lane?: "CRITICAL" | "NORMAL" | "BULK" | undefined;
  /** Your correlation data, kept digit for digit: at most 16 KiB and 8 levels. */
  metadata?: Record<string, unknown> | undefined;
  /** EMAIL only; written as from. */
  replyTo?: string | undefined;
  /** RFC 3339 with a time zone, at most 366 days ahead. The past means now. */
  scheduledAt?: string | Date | undefined;
  /** Required for an inline email; at most 998 bytes. Wins over a template's. */
  subject?: string | undefined;
  /** Words to find the message by: at most 10, of 1 to 64 bytes each, without control characters and without spaces at their ends. */
  tags?: string[] | undefined;
  /** Renders the newest version of a registered template instead of an inline body. subject and text given beside it win over the template's. */
  templateKey?: string | undefined;
  /** EMAIL only: the plain text part; made from the HTML when absent. */
  text?: string | undefined;
  /** The message is never sent later than this after acceptance or scheduledAt: it ends FAILED with expired. */
  ttlSeconds?: number | undefined;
  /** Values for the template's placeholders: at most 1000, with names of 1 to 100 bytes. What they make has the limits of body, subject and text. */
  variables?: Record<string, string | number | boolean> | undefined;
}

export interface NewProviderConfig {
  providerType: ProviderType;
  /** The fields of the type. */
  config: ResendConfig | SmtpConfig | ArkeselConfig | HubtelConfig | NaloConfig | MnotifyConfig | TwilioConfig;
  isActive?: boolean | undefined;
  maxConcurrency?: number | null | undefined;
  /** 1 to 100 characters. */
  name?: string | undefined;
  /** Used first, and never switched off by the breaker. */
  pinned?: boolean | undefined;
  /** Lower is tried first; ties by age. Default: 100. */
  priority?: number | undefined;
  /** Attempts per UTC day. The database counts them, so that the count survives restarts, hand-overs and changes of the configuration; it begins when the limit is set. Nodes that share a configuration (server level, or an app that is spread over shards) may together begin a few more. */
  ratePerDay?: number | null | undefined;
  ratePerSecond?: number | null | undefined;
}

export interface NewSuppression {
  channel: Channel;
  /** Email address in any case, or phone number with or without +. */
  address: string;
  /** Why, in words; at most 200 bytes without control characters. */
  note?: string | null | undefined;
  /** manual (default), hard_bounce, complaint or unsubscribed. */
  reason?: "manual" | "hard_bounce" | "complaint" | "unsubscribed" | null | undefined;
}

export interface NewTemplate {
  /** What messages name it by; unique in the app. It cannot be changed. */
  key: string;
  channel: Channel;
  /** HTML of an email, in which values are escaped, or plain text of an SMS; at most 256 KiB and 200 placeholders. */
  body: string;
  /** 1 to 100 characters. The key, if a new template has none. */
  name?: string | undefined;
  /** EMAIL only, and required there; one line of at most 998 bytes. Values are not escaped. */
  subject?: string | undefined;
  /** EMAIL only: the plain text beside the HTML; null for none. At most 256 KiB. */
  text?: string | null | undefined;
}

export interface NewWebhook {
  /** For people; unique in the app. The one named default is the app's webhookUrl: it keeps its name. */
  name: string;
  /** https, with a public host. Redirects are not followed. */
  url: string;
  /** Empty: both. */
  channels?: Channel[] | undefined;
  /** Default: true. */
  isActive?: boolean | undefined;
  /** 16 to 200 bytes; generated when none is given. */
  secret?: string | undefined;
  /** The statuses whose events are posted. Empty: SENT, DELIVERED, FAILED, SUPPRESSED, CANCELLED, and QUEUED after a RETRY. */
  statuses?: MessageStatus[] | undefined;
  /** Only events of messages that have one of these at least. Empty: of all. */
  tags?: string[] | undefined;
}

export interface NewWebhookAnswer {
  id: string;
  name: string;
  url: string;
  /** The statuses whose events are posted. Empty: SENT, DELIVERED, FAILED, SUPPRESSED, CANCELLED, and QUEUED after a RETRY. */
  statuses: MessageStatus[];
  /** Empty: both. */
  channels: Channel[];
  /** Only events of messages that have one of these at least. Empty: of all. */
  tags: string[];
  isActive: boolean;
  /** Why the server switched it off: gone (it answered 410) or failed (every delivery failed for as long as an event is tried). unreadable: this version of the server cannot read its filter, and posts nothing to it until it can or the filter is replaced; what waits goes on waiting. null: it did not. */
  disabledReason: "gone" | "failed" | "unreadable" | null;
  disabledAt: string | null;
  /** Until when what is posted is signed with a secret from before a rotation too: the end of the last of them. null: one secret signs. */
  previousSecretEndsAt: string | null;
  createdAt: string | null;
  updatedAt: string | null;
  /** How its calls fail; null: they do not, or it is off. */
  failing: {
    /** Since when every call fails. */
    since: string;
    /** Events that wait to be posted to it. */
    waiting: number;
    /** More than that may wait: no more are counted. */
    atLeast: boolean;
    /** Calls that were made for the events that were counted. */
    attempts: number;
    /** When the first of all is tried next: when it is due, and not before the end of the time for which the server leaves the endpoint alone. null: nothing waits. */
    nextAttemptAt: string | null;
  } | null;
  /** Only when it was generated just now: it is shown once. */
  secret?: string | undefined;
}

export interface Preview {
  channel: Channel;
  sandbox: boolean;
  toAddress: string | null;
  fromAddress: string | null;
  subject: string | null;
  body: string | null;
  /** EMAIL: the plain text beside the HTML, given or made from it. */
  text: string | null;
  templateKey: string | null;
  templateVersion: number | null;
  segments: number | null;
  encoding: string | null;
  /** The message that the idempotency key stands for already. */
  replayOf: string | null;
  /** The recipient's place on the opt-out list (as in Suppression): the message would end SUPPRESSED. */
  suppression: Record<string, unknown> | null;
  chain: PreviewChain;
  warnings: Warning[];
}

export interface PreviewChain {
  /** APP or SERVER: whose configurations apply; null when none does. */
  level: string | null;
  /** The sandbox takes the message. */
  sandbox: boolean;
  /** Nothing is configured: the message would fail. */
  noProvider: boolean;
  why: string;
  /** What the message would wait for, when nothing can be tried now. */
  waitingFor: string | null;
  tried: PreviewLink[];
  /** What would not be called now, and why: it is switched off, cannot be used, is down, or its provider asked for a pause. As the nodes say that send with it, a few seconds late; of several the worst counts. How much of its limits is used is not looked at. */
  leftOut: PreviewLink[];
}

export interface PreviewLink {
  /** 1 is tried first; null of what is left out. */
  place: number | null;
  /** Null of the sandbox and of the server's own configurations. */
  id: string | null;
  name: string | null;
  /** Or sandbox. */
  providerType: string;
  /** The sender that it would use. */
  from: string | null;
  why: string;
}

export interface PreviewRequest {
  /** Values for the template's placeholders. */
  variables?: Record<string, string | number | boolean> | undefined;
}

/** Calls that ended in the last minute, as the nodes say of which any failed, or which the provider asked to wait; the others say nothing. A few seconds late. Left out where none failed and nobody was asked to wait. */
export interface ProviderCalls {
  calls: number;
  /** Through the provider's fault, or because it could not be reached. What it refused for the message's or the recipient's sake, or because of its rate, did not fail. */
  failed: number;
}

export interface ProviderCarrier {
  id: string;
  /** The configuration's name, as it was then. */
  name: string;
  /** How many messages it took, at least. */
  messages: number;
}

export interface ProviderConfig {
  id: string;
  providerType: ProviderType;
  /** 1 to 100 characters. */
  name: string;
  /** Lower is tried first; ties by age. */
  priority: number;
  isActive: boolean;
  /** The fields of the type; secrets are masked. */
  config: ResendConfig | SmtpConfig | ArkeselConfig | HubtelConfig | NaloConfig | MnotifyConfig | TwilioConfig;
  ratePerSecond: number | null;
  /** Attempts per UTC day. The database counts them, so that the count survives restarts, hand-overs and changes of the configuration; it begins when the limit is set. Nodes that share a configuration (server level, or an app that is spread over shards) may together begin a few more. */
  ratePerDay: number | null;
  maxConcurrency: number | null;
  /** Used first, and never switched off by the breaker. */
  pinned: boolean;
  channel: Channel;
  /** To register with the provider; null for types that report nothing later. Keep it as you keep a key: whoever knows it can report. It stays the same until it is rotated. */
  callbackUrl: string | null;
  /** Until when reports to a URL from before a rotation are taken too: the end of the last of them. null: they are not. */
  previousCallbackEndsAt: string | null;
  createdAt: string | null;
  updatedAt: string | null;
  health?: ProviderHealth | undefined;
  /** What is wrong with it now, such as provider_down while calls through it fail, or provider_cannot_send; left out when nothing is. */
  warnings?: Warning[] | undefined;
}

export interface ProviderConfigChange {
  /** The fields of the type. Those that are not sent stay as they are, null removes one. */
  config?: Record<string, string | number | boolean | null> | undefined;
  isActive?: boolean | undefined;
  maxConcurrency?: number | null | undefined;
  /** 1 to 100 characters. */
  name?: string | undefined;
  /** Used first, and never switched off by the breaker. */
  pinned?: boolean | undefined;
  /** Lower is tried first; ties by age. */
  priority?: number | undefined;
  providerType?: ProviderType | undefined;
  /** Attempts per UTC day. The database counts them, so that the count survives restarts, hand-overs and changes of the configuration; it begins when the limit is set. Nodes that share a configuration (server level, or an app that is spread over shards) may together begin a few more. */
  ratePerDay?: number | null | undefined;
  ratePerSecond?: number | null | undefined;
}

export interface ProviderConfigPage {
  data: ProviderConfig[];
  /** Pass it back as cursor for the next page. */
  nextCursor: string | null;
}

/** Whether the configuration works, as the nodes say that send with it, a few seconds late. In answers to GET alone. */
export interface ProviderHealth {
  /** WORKS: nobody says otherwise. FAILING: the last calls failed, too few for its breaker to open; or it is pinned. DOWN: the breaker is open, and messages pass it by. TRYING: the breaker is half open, and a few messages decide. UNUSABLE: its credentials or settings cannot be used, or this version cannot send with its type. OFF: isActive is false. Of several nodes the worst counts. */
  state: "WORKS" | "FAILING" | "TRYING" | "DOWN" | "UNUSABLE" | "OFF";
  /** Since when it is out of order; where it works, since the end of the last outage (where one configuration is read). Null when that is not known. */
  since: string | null;
  /** provider_down, credentials_unavailable, provider_unsupported or provider_cannot_send, as in waitingFor of a message; null where nothing is wrong. */
  reason: string | null;
  /** Of the last answer. */
  code: string | null;
  /** The last answer in words, redacted. */
  answer: string | null;
  /** Before it no call is made, by any node that tries it. Null: the next message is a call; of UNUSABLE and OFF there is none until that is mended. */
  nextTryAt: string | null;
  /** The provider asked for a slower pace (429, Retry-After): before it no call is made by a node that it asked; of several the last one. Messages take the next configuration of the chain meanwhile, and wait where there is none. Null where it did not ask, or that has passed. */
  throttledUntil: string | null;
  /** What others of the chain took since then, those that took most first; at most five. Counted every few seconds; what a node counted that is gone may be missing. */
  carried: ProviderCarrier[];
  /** The nodes for which it is out of order. A node that is not among them has no trouble with it, or does not send with it. */
  nodes: ProviderHealthNode[];
  lately?: ProviderCalls | undefined;
  /** The last outages of which the operator is told (the alert provider_down), the newest first: those that lasted for 15 seconds at least. They are kept for 30 days after the last one. Only where one configuration is read. */
  outages?: ProviderOutage[] | undefined;
}

export interface ProviderHealthNode {
  /** Its name; null for the key of an app, and for a node that has gone since and of which nobody else has made a call. */
  node: string | null;
  state: "FAILING" | "TRYING" | "DOWN" | "UNUSABLE";
  /** Since when it is out of order there. */
  since: string | null;
  /** A word as in reason of the whole. */
  reason: string | null;
  /** Of the last answer there. */
  code: string | null;
  /** The last answer there in words, redacted. */
  answer: string | null;
  /** Before it that node makes no call. Null: the next message is one. */
  nextTryAt: string | null;
}

export interface ProviderOutage {
  /** When it began. */
  since: string | null;
  /** When a call went well again, or it was switched off. Null while it lasts, and for a minute after it. */
  endedAt: string | null;
  /** A word as in reason of the health. */
  reason: string | null;
  /** Of the last answer. */
  code: string | null;
  /** The last answer in words, redacted. */
  answer: string | null;
  /** What others of the chain took meanwhile, those that took most first; at most five. */
  carried: ProviderCarrier[];
}

/** With which of them this version can send, see docs/providers.md; configurations of the others are kept, and answered with the warning provider_cannot_send. */
export type ProviderType = "RESEND" | "SMTP" | "ARKESEL" | "HUBTEL" | "NALO" | "MNOTIFY" | "TWILIO";

export interface Provisioned {
  app: App;
  /** The raw key, shown once; null when none was issued. */
  apiKey: string | null;
  alreadyRegistered: boolean;
  /** Only when it was generated just now: it is shown once. */
  webhookSecret?: string | undefined;
}

export interface Replay {
  /** From this time on. */
  createdAfter: string | Date;
  /** Before this time. */
  createdBefore: string | Date;
  /** Where a replay of the same times and state ended: its nextCursor. Without it the newest come first. */
  cursor?: string | undefined;
  /** Default: "failed". */
  state?: "failed" | "delivered" | undefined;
}

export interface Replayed {
  replayed: number;
  more: boolean;
  /** Send it back as cursor, with the same times and state, to go on with what is older. null: nothing is left. */
  nextCursor: string | null;
}

export interface ResendConfig {
  /** API key of the Resend team, such as re_…. Stored encrypted, never shown again. */
  apiKey: string;
  /** Address that the provider's API is called at, if other than the usual one. */
  baseUrl?: string | undefined;
  /** Sender of messages that name none, such as MyApp <no-reply@example.com>. Its domain must be verified at Resend. */
  from?: string | undefined;
  /** Signing secret of the webhook that is registered at Resend, such as whsec_…. Reports are then accepted only if they are signed with it. */
  webhookSecret?: string | undefined;
}

export interface Rollback {
  version: number;
}

export type Scope = "SEND" | "READ" | "TEMPLATES" | "PROVIDERS" | "SUPPRESSIONS";

export interface SmtpConfig {
  /** Name of the mail server, such as mail.example.com. Its certificate must carry this name. */
  host: string;
  /** Sender of messages that name none, such as MyApp <no-reply@example.com>. */
  from?: string | undefined;
  /** Password or API key that the mail server expects. Stored encrypted, never shown again. */
  password?: string | undefined;
  /** 587 (the default) starts in clear and switches to TLS; 465 is TLS from the first byte; 25 and 2525 are for relays. */
  port?: number | undefined;
  /** Address that bounces go to, if other than the sender's. The server must allow it. */
  returnPath?: string | undefined;
  /** true for port 465. Otherwise STARTTLS is used when the server offers it, and required when there is a password. */
  secure?: boolean | undefined;
  /** Leave empty for a relay that needs no login. */
  username?: string | undefined;
}

export interface Stats {
  window: "1h" | "24h" | "7d" | "30d";
  from: string;
  /** Now, by the database's clock. */
  to: string;
  /** Length of a bucket. */
  bucketSeconds: number;
  counts: StatsCounts;
  latency: StatsLatency;
  /** Every channel. */
  channels: StatsChannel[];
  providers: StatsProvider[];
  /** The window in steps, the oldest first, for charts. */
  buckets: StatsBucket[];
}

export interface StatsBucket {
  /** When the step begins. */
  at: string;
  counts: StatsCounts;
  latency: StatsLatency;
}

export interface StatsChannel {
  channel: Channel;
  counts: StatsCounts;
  latency: StatsLatency;
}

/** How many messages came to a status within a time. */
export interface StatsCounts {
  /** Accepted with 202, not counting replays. */
  accepted: number;
  /** Queued again by a RETRY. */
  retried: number;
  /** Came to SENT. */
  sent: number;
  /** Came to DELIVERED. */
  delivered: number;
  /** Came to FAILED. */
  failed: number;
  /** Came to SUPPRESSED. */
  suppressed: number;
  /** Came to CANCELLED. */
  cancelled: number;
}

export interface StatsLatency {
  /** From acceptance to SENT, of messages that were to be sent at once. */
  accepted: StatsWait;
  /** From when each message was due (its scheduledAt, or its acceptance) to SENT, of all. */
  due: StatsWait;
}

/** What became of the attempts with a type of provider. */
export interface StatsProvider {
  /** Type of the provider in lower case; sandbox for what was captured. */
  provider: string;
  channel: Channel;
  /** Calls that began. */
  attempts: number;
  /** The provider took the message. */
  sent: number;
  /** It certainly did not. */
  failed: number;
  /** It refused for its rate. */
  throttled: number;
  /** Nobody can tell. One that is proved later counts as sent too. */
  unknown: number;
}

export interface StatsWait {
  /** Messages that were measured. */
  count: number;
  /** The median, in milliseconds, within 10 %. */
  p50Ms: number | null;
  /** The 95th percentile, in milliseconds, within 10 %. */
  p95Ms: number | null;
  /** The 99th percentile, in milliseconds, within 10 %. */
  p99Ms: number | null;
}

export type MessageStatus = "QUEUED" | "SENDING" | "SENT" | "DELIVERED" | "FAILED" | "SUPPRESSED" | "CANCELLED";

export interface Suppression {
  channel: Channel;
  /** As recipients are compared: lower case, or digits. */
  address: string;
  reason: "manual" | "hard_bounce" | "complaint" | "unsubscribed";
  note: string | null;
  source: "api" | "import" | "provider" | "returned";
  createdAt: string;
}

export interface SuppressionPage {
  data: Suppression[];
  nextCursor: string | null;
}

export interface Template {
  id: string;
  /** What messages name it by; unique in the app. It cannot be changed. */
  key: string;
  channel: Channel;
  name: string;
  /** Null for SMS. */
  subject: string | null;
  body: string;
  /** Null: made from the body. */
  text: string | null;
  version: number;
  /** The names of the placeholders, sorted. */
  variables: string[];
  createdAt: string;
  updatedAt: string;
}

export interface TemplateChange {
  /** HTML of an email, in which values are escaped, or plain text of an SMS; at most 256 KiB and 200 placeholders. */
  body?: string | undefined;
  channel?: Channel | undefined;
  /** What messages name it by; unique in the app. It cannot be changed. */
  key?: string | undefined;
  /** 1 to 100 characters. The key, if a new template has none. */
  name?: string | undefined;
  /** EMAIL only, and required there; one line of at most 998 bytes. Values are not escaped. */
  subject?: string | undefined;
  /** EMAIL only: the plain text beside the HTML; null for none. At most 256 KiB. */
  text?: string | null | undefined;
}

export interface TemplatePage {
  data: Template[];
  /** Pass it back as cursor for the next page. */
  nextCursor: string | null;
}

export interface TemplatePreview {
  version: number;
  /** Null for SMS. */
  subject: string | null;
  body: string;
  /** Null: made from the body when it is sent. */
  text: string | null;
  /** SMS: how many segments it takes. */
  segments: number | null;
  /** SMS: GSM7 or UCS2. */
  encoding: string | null;
  warnings: Warning[];
}

export interface TemplateVersion {
  version: number;
  /** Null for SMS. */
  subject: string | null;
  createdAt: string;
  body: string;
  /** Null: made from the body. */
  text: string | null;
  variables: string[];
}

export interface TemplateVersionItem {
  version: number;
  /** Null for SMS. */
  subject: string | null;
  createdAt: string;
}

export interface TemplateVersionPage {
  data: TemplateVersionItem[];
  /** Pass it back as cursor for the next page. */
  nextCursor: string | null;
}

export interface TestMessage {
  /** An email address or a phone number, as the channel of the configuration wants it. */
  to: string;
}

export interface TestResult {
  /** The provider took the message. */
  ok: boolean;
  /** What the answer means. */
  class: "accepted" | "permanent-message" | "permanent-here" | "account" | "rate-limited" | "transient" | "ambiguous";
  /** The code of the provider or protocol. */
  code: string | null;
  /** For people; it holds neither secrets nor addresses. */
  text: string | null;
  /** The id of the message at the provider. */
  reference: string | null;
  /** Nobody can tell whether the provider took it (class ambiguous). */
  mayHaveBeenSent: boolean;
  tookMs: number;
}

export interface TwilioConfig {
  /** The account's SID: AC and 32 hexadecimal digits. */
  accountSid: string;
  /** Auth token of the account; it also verifies Twilio's reports. Stored encrypted, never shown again. */
  authToken: string;
  /** Address that the provider's API is called at, if other than the usual one. */
  baseUrl?: string | undefined;
  /** SID of a messaging service that chooses the sender, MG and 32 hexadecimal digits, instead of senderId. */
  messagingServiceSid?: string | undefined;
  /** Sender of messages that name none: up to 11 letters and digits, or a number. The provider must have approved it. */
  senderId?: string | undefined;
}

export interface Verification {
  /** Every check passed. */
  ok: boolean;
  /** In order; the first one that fails is the last. */
  checks: {
    /** A stable word, such as connect, tls or login. */
    name: string;
    ok: boolean;
    /** For people; it holds no secret. */
    detail: string;
  }[];
  tookMs: number;
}

export interface Warning {
  /** Stable code. */
  code: string;
  /** A sentence for people. */
  message: string;
}

export interface Webhook {
  id: string;
  name: string;
  url: string;
  /** The statuses whose events are posted. Empty: SENT, DELIVERED, FAILED, SUPPRESSED, CANCELLED, and QUEUED after a RETRY. */
  statuses: MessageStatus[];
  /** Empty: both. */
  channels: Channel[];
  /** Only events of messages that have one of these at least. Empty: of all. */
  tags: string[];
  isActive: boolean;
  /** Why the server switched it off: gone (it answered 410) or failed (every delivery failed for as long as an event is tried). unreadable: this version of the server cannot read its filter, and posts nothing to it until it can or the filter is replaced; what waits goes on waiting. null: it did not. */
  disabledReason: "gone" | "failed" | "unreadable" | null;
  disabledAt: string | null;
  /** Until when what is posted is signed with a secret from before a rotation too: the end of the last of them. null: one secret signs. */
  previousSecretEndsAt: string | null;
  createdAt: string | null;
  updatedAt: string | null;
  /** How its calls fail; null: they do not, or it is off. */
  failing: {
    /** Since when every call fails. */
    since: string;
    /** Events that wait to be posted to it. */
    waiting: number;
    /** More than that may wait: no more are counted. */
    atLeast: boolean;
    /** Calls that were made for the events that were counted. */
    attempts: number;
    /** When the first of all is tried next: when it is due, and not before the end of the time for which the server leaves the endpoint alone. null: nothing waits. */
    nextAttemptAt: string | null;
  } | null;
}

export interface WebhookChange {
  /** Empty: both. */
  channels?: Channel[] | undefined;
  /** true also takes off that the server switched it off. */
  isActive?: boolean | undefined;
  /** For people; unique in the app. The one named default is the app's webhookUrl: it keeps its name. */
  name?: string | undefined;
  /** The statuses whose events are posted. Empty: SENT, DELIVERED, FAILED, SUPPRESSED, CANCELLED, and QUEUED after a RETRY. */
  statuses?: MessageStatus[] | undefined;
  /** Only events of messages that have one of these at least. Empty: of all. */
  tags?: string[] | undefined;
  /** https, with a public host. Redirects are not followed. */
  url?: string | undefined;
}

export interface WebhookPage {
  data: Webhook[];
  /** Pass it back as cursor for the next page. */
  nextCursor: string | null;
}

export interface WebhookRotation {
  /** For how long what is posted is signed with the old secret too. Secrets that were replaced before sign until their own ends; 0 ends all of them at once. 409 invalid_state while two of them sign: the message says when another rotation is possible. Default: 0. */
  overlapSeconds?: number | undefined;
  /** 16 to 200 bytes; generated when none is given. */
  secret?: string | undefined;
}

export interface WholeDelivery {
  id: string;
  /** X-Comms-Event-Id. */
  eventId: string;
  messageId: string;
  /** That the message came to; null for a test. */
  status: string | null;
  /** waiting: it is tried, or tried again. delivered: it was answered with 2xx. failed: every try failed; it can be replayed. */
  state: "waiting" | "delivered" | "failed";
  attempts: number;
  /** When it is tried next: when it is due, and not before the end of the time for which the server leaves the endpoint alone. null: it is not tried any more. */
  nextAttemptAt: string | null;
  createdAt: string | null;
  endedAt: string | null;
  /** What is posted. */
  body: Record<string, unknown>;
  /** The last attempts, oldest first. */
  attemptLog: ({
    attempt: number;
    at: string;
    tookMs: number;
    /** null: there was no answer. */
    status: number | null;
    fault: string | null;
    /** The beginning of the answer, for the administrator; null for an app. */
    answer: string | null;
  })[];
  /** The last call, as in attemptLog; null: there was none yet. */
  lastAttempt: {
    attempt: number;
    at: string;
    tookMs: number;
    /** null: there was no answer. */
    status: number | null;
    fault: string | null;
    /** The beginning of the answer, for the administrator; null for an app. */
    answer: string | null;
  } | null;
}

/** Codes of the server's errors; docs/errors.md says what each means. */
export type CommsErrorCode =
  | "internal"
  | "invalid_json"
  | "invalid_body"
  | "trailing_data"
  | "duplicate_field"
  | "unknown_field"
  | "invalid_field"
  | "too_deep"
  | "too_many_fields"
  | "too_many_items"
  | "invalid_utf8"
  | "invalid_channel"
  | "invalid_to"
  | "invalid_phone"
  | "single_recipient"
  | "smtputf8_unsupported"
  | "invalid_address"
  | "invalid_import"
  | "body_or_template"
  | "body_and_template"
  | "body_required"
  | "subject_required"
  | "field_not_allowed"
  | "too_long"
  | "control_character"
  | "invalid_from"
  | "invalid_template_key"
  | "invalid_template"
  | "too_many_templates"
  | "template_channel_mismatch"
  | "invalid_variable"
  | "invalid_idempotency_key"
  | "invalid_scheduled_at"
  | "timezone_required"
  | "too_far"
  | "invalid_metadata"
  | "invalid_attachment"
  | "invalid_cursor"
  | "invalid_query"
  | "too_many_apps"
  | "invalid_action"
  | "invalid_webhook_url"
  | "too_many_endpoints"
  | "too_many_users"
  | "invalid_config"
  | "blocked_address"
  | "unauthenticated"
  | "second_factor_required"
  | "forged_report"
  | "insufficient_scope"
  | "insufficient_role"
  | "cross_site"
  | "password_change_required"
  | "from_not_allowed"
  | "number_not_allowed"
  | "not_found"
  | "nothing_captured"
  | "template_not_found"
  | "provisioning_disabled"
  | "idempotency_key_reused"
  | "invalid_state"
  | "already_exists"
  | "template_key_taken"
  | "address_suppressed"
  | "provider_cannot_send"
  | "body_too_large"
  | "request_line_too_long"
  | "too_many_headers"
  | "unsupported_media_type"
  | "method_not_allowed"
  | "missing_variables"
  | "rate_limited"
  | "quota_exceeded"
  | "too_many_failures"
  | "too_many_streams"
  | "unavailable"
  | "app_draining"
  | "timeout";
