// What the drivers of the TypeScript client have in common, wherever it runs: doing a step, as sdk/README.md describes it.

/** The function that answers a step with a client of this module. */
export default (sdk) => {
  async function take(items, n) {
    const out = [];
    for await (const item of items) {
      out.push(item);
      if (out.length === n) break;
    }
    return out;
  }

  const text = async (stream) => ({ text: await new Response(stream).text() });
  const done = async (promise) => ((await promise) === undefined ? {} : { unexpected: true });
  const rest = ({ id, delivery, version, body, ...query }) => query;

  const many = (a) => {
    const messages = a.repeat ? Array.from({ length: a.repeat }, () => a.body.messages[0]) : a.body.messages;
    return messages.map((message, i) => (i === a.unencodable ? { ...message, metadata: { number: 1n } } : message));
  };

  // What each call is in this client. a: the arguments, o: options of the call.
  const calls = {
    sendMessage: (c, a, o) => c.sendMessage(a.body, o),
    sendEmail: (c, a, o) => c.sendEmail(a.body, o),
    sendSms: (c, a, o) => c.sendSms(a.body, o),
    sendMessages: async (c, a, o) => ({ data: await c.sendMessages(many(a), o) }),
    previewMessage: (c, a, o) => c.previewMessage(a.body, o),
    listMessages: (c, a, o) => c.listMessages(rest(a), o),
    getMessage: (c, a, o) => c.getMessage(a.id, o),
    changeMessage: (c, a, o) => c.changeMessage(a.id, a.body, o),
    listCaptures: (c, a, o) => c.listCaptures(rest(a), o),
    waitForCapture: (c, a, o) => c.waitForCapture(rest(a), o),
    getCapture: (c, a, o) => c.getCapture(a.id, o),
    getCaptureSource: async (c, a, o) => text(await c.getCaptureSource(a.id, o)),
    getApp: (c, a, o) => c.getApp(o),
    changeApp: (c, a, o) => c.changeApp(a.body, o),
    getStats: (c, a, o) => c.getStats(rest(a), o),
    createTemplate: (c, a, o) => c.createTemplate(a.body, o),
    listTemplates: (c, a, o) => c.listTemplates(rest(a), o),
    getTemplate: (c, a, o) => c.getTemplate(a.id, o),
    changeTemplate: (c, a, o) => c.changeTemplate(a.id, a.body, o),
    deleteTemplate: (c, a, o) => done(c.deleteTemplate(a.id, o)),
    listTemplateVersions: (c, a, o) => c.listTemplateVersions(a.id, o),
    getTemplateVersion: (c, a, o) => c.getTemplateVersion(a.id, a.version, o),
    rollbackTemplate: (c, a, o) => c.rollbackTemplate(a.id, a.body.version, o),
    previewTemplate: (c, a, o) => c.previewTemplate(a.id, a.body, o),
    createProviderConfig: (c, a, o) => c.createProviderConfig(a.body, o),
    listProviderConfigs: (c, a, o) => c.listProviderConfigs(o),
    getProviderConfig: (c, a, o) => c.getProviderConfig(a.id, o),
    changeProviderConfig: (c, a, o) => c.changeProviderConfig(a.id, a.body, o),
    deleteProviderConfig: (c, a, o) => done(c.deleteProviderConfig(a.id, o)),
    rotateProviderCallback: (c, a, o) => c.rotateProviderCallback(a.id, a.body, o),
    verifyProviderConfig: (c, a, o) => c.verifyProviderConfig(a.id, o),
    testProviderConfig: (c, a, o) => c.testProviderConfig(a.id, a.body, o),
    addSuppression: (c, a, o) => c.addSuppression(a.body, o),
    listSuppressions: (c, a, o) => c.listSuppressions(rest(a), o),
    removeSuppression: (c, a, o) => done(c.removeSuppression(rest(a), o)),
    importSuppressions: (c, a, o) => c.importSuppressions(a.content, a.format, o),
    exportSuppressions: async (c, a, o) => text(await c.exportSuppressions(rest(a), o)),
    erasePerson: (c, a, o) => c.erasePerson(a.body, o),
    getErasure: (c, a, o) => c.getErasure(a.id, o),
    exportPerson: async (c, a, o) => text(await c.exportPerson(rest(a), o)),
    listEvents: (c, a, o) => c.listEvents(rest(a), o),
    streamEvents: async (c, a, o) => ({ items: await take(c.streamEvents({ after: a.after, signal: o.signal }), a.take) }),
    createWebhook: (c, a, o) => c.createWebhook(a.body, o),
    listWebhooks: (c, a, o) => c.listWebhooks(o),
    getWebhook: (c, a, o) => c.getWebhook(a.id, o),
    changeWebhook: (c, a, o) => c.changeWebhook(a.id, a.body, o),
    deleteWebhook: (c, a, o) => done(c.deleteWebhook(a.id, o)),
    rotateWebhookSecret: (c, a, o) => c.rotateWebhookSecret(a.id, a.body, o),
    testWebhook: (c, a, o) => c.testWebhook(a.id, o),
    replayDeliveries: (c, a, o) => c.replayDeliveries(a.id, a.body, o),
    listDeliveries: (c, a, o) => c.listDeliveries(a.id, rest(a), o),
    getDelivery: (c, a, o) => c.getDelivery(a.id, a.delivery, o),
    replayDelivery: (c, a, o) => c.replayDelivery(a.id, a.delivery, o),
    provisionApp: (c, a, o) => c.provisionApp(a.body, o),
    walk: async (c, a, o) => {
      const { list, take: n, ...query } = a;
      return { items: await take(list === "deliveries" ? c.deliveries(query.id, rest(query), o) : c[list](query, o), n) };
    },
    feed: async (c, a, o) => {
      const pages = await take(c.feed(rest(a), o));
      return { items: pages.flatMap((p) => p.data), nextCursor: pages[pages.length - 1].nextCursor };
    },
    waitForDelivery: (c, a, o) => c.waitForDelivery(a.id, { until: a.until, timeoutMs: a.timeoutMs, after: a.after, signal: o.signal }),
    verifyWebhook: (c, a) => {
      const headers = a.asHeaders ? new Headers(a.headers) : a.headers;
      return sdk.verifyWebhook({ body: a.bytes ? new TextEncoder().encode(a.body) : a.body, headers, secret: a.secrets, toleranceSeconds: a.toleranceSeconds, now: a.now });
    },
  };

  function kind(error, aborted) {
    if (error instanceof sdk.CommsApiError) return "api";
    if (error instanceof sdk.CommsConnectionError) return "connection";
    if (error instanceof sdk.CommsTimeoutError) return "timeout";
    if (error instanceof sdk.CommsAnswerError) return "answer";
    if (error instanceof sdk.CommsAbortError) return aborted !== undefined && error.cause === aborted ? "aborted" : "unexpected";
    if (error instanceof sdk.CommsWebhookError) return "webhook";
    if (error instanceof sdk.CommsWaitError) return "wait";
    if (aborted !== undefined && error === aborted) return "aborted";
    return error instanceof TypeError ? "usage" : "unexpected";
  }

  function told(error, signal) {
    const out = { kind: kind(error, signal.aborted ? signal.reason : undefined), message: String(error?.message), code: error?.code };
    for (const name of ["status", "details", "fields", "requestId", "retryAfterMs", "idempotencyKey", "idempotencyKeys", "tries"]) if (error?.[name] !== undefined) out[name] = error[name];
    if (error?.lastMessage) out.lastStatus = error.lastMessage.status;
    if (out.kind === "unexpected") out.stack = String(error?.stack);
    if (out.code !== undefined && out.kind === "api" && out.code !== "" && !sdk.isCode(error, out.code)) out.kind = "unexpected";
    return out;
  }

  async function answer(step) {
    const abort = new AbortController();
    try {
      if (step.call === "hello") {
        return { result: { language: "typescript", calls: Object.keys(calls), methods: Object.getOwnPropertyNames(sdk.CommsClient.prototype).concat(Object.getOwnPropertyNames(sdk.CommsProvisioningClient.prototype)) } };
      }
      const { provisioningKey, ...options } = step.client ?? {};
      const client = step.call === "verifyWebhook" ? undefined : provisioningKey !== undefined ? new sdk.CommsProvisioningClient(step.client) : new sdk.CommsClient(options);
      if (step.abortAfterMs !== undefined) setTimeout(() => abort.abort(new Error("enough")), step.abortAfterMs);
      return { result: await calls[step.call](client, step.args ?? {}, { signal: abort.signal }) };
    } catch (error) {
      return { error: told(error, abort.signal) };
    }
  }

  return answer;
};
