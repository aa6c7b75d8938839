package console

import "encoding/json"

// empty and full are answers of the API to everything that the pages read.
func empty() map[string]string {
	out := map[string]string{}
	for _, path := range []string{"/api/admin/messages", "/api/admin/apps", "/api/admin/alerts", "/api/admin/provider-configs", "/api/v1/webhooks", "/api/v1/provider-configs"} {
		out["GET "+path] = `200 {"data":[],"nextCursor":null}`
	}
	out["GET /api/admin/queue"] = `200 {"data":[],"nextCursor":null,"countedAt":"2026-07-03T09:59:40Z","totals":{"waiting":0,"atLeast":false,"sending":0}}`
	out["GET /api/admin/stats"] = `200 {"window":"24h","counts":{},"latency":{"accepted":{},"due":{}},"channels":[],"providers":[],"buckets":[]}`
	out["GET /api/admin/apps/a/keys"] = `200 {"data":[{"id":"c00000000000000000000002a","prefix":"cs_test_abcd","lastFour":"abcd","scopes":["SEND"],"createdAt":"2026-07-03T09:00:00Z"}],"nextCursor":null}`
	for _, path := range []string{"/api/v1/sandbox/messages", "/api/v1/suppressions", "/api/admin/suppressions", "/api/admin/audit"} {
		out["GET "+path] = `200 {"data":[],"nextCursor":null}`
	}
	out["GET /api/v1/webhooks/c00000000000000000000001a"] = `200 {"id":"c00000000000000000000001a","name":"orders","url":"https://example.com/hook","isActive":true}`
	out["GET /api/v1/webhooks/c00000000000000000000001a/deliveries"] = `200 {"data":[],"nextCursor":null}`
	out["GET /api/v1/webhooks/c00000000000000000000001a/deliveries/c00000000000000000000004a"] = `200 {"id":"c00000000000000000000004a","state":"waiting","eventId":"evt","body":{}}`
	out["GET /api/admin/provider-configs/*"] = `200 {"id":"c00000000000000000000001a","providerType":"SMTP","channel":"EMAIL","name":"Relay","isActive":true,"config":{"host":"mail.example.com","password":"••••"}}`
	template := "GET /api/v1/templates/c00000000000000000000001a"
	out["GET /api/v1/templates"], out[template+"/versions"] = `200 {"data":[],"nextCursor":null}`, `200 {"data":[],"nextCursor":null}`
	out[template] = `200 {"id":"c00000000000000000000001a","key":"code","channel":"SMS","name":"Code","body":"Hi {{name}}","version":3,"variables":["name"]}`
	out[template+"/versions/2"] = `200 {"version":2,"body":"Hello {{name}}"}`
	out["GET /api/admin/hold"] = `200 {"state":"NONE"}`
	out["GET /api/admin/chains"] = `200 {"data":[{"channel":"EMAIL","level":"APP","sandbox":false,"noProvider":false,"waitingFor":null,"warnings":[]},{"channel":"SMS","level":"SERVER","sandbox":false,"noProvider":false,"waitingFor":null,"warnings":[]}],"nextCursor":null}`
	out["GET /api/admin/events"] = `200 {"data":[],"looked":0,"passed":0,"atLeast":false,"nextCursor":"AAA"}`
	out["GET /api/v1/persons/export"] = `200 {"kind":"end","messages":0}`
	out["GET /api/admin/users"] = `200 {"data":[],"nextCursor":null}`
	out["GET /api/admin/users/*"] = `200 {"id":"c00000000000000000000001a","name":"ama","role":"VIEWER","isActive":true,"startPasswordUntil":"2026-07-05T09:00:00Z"}`
	out["GET /api/v1/suppressions/export"] = "200 channel,address"
	out["GET /api/admin/session/second-factor"] = `200 {"authenticator":false,"recoveryCodesLeft":9,"securityKeys":[{"id":"c00000000000000000000002a","name":"blue","createdAt":"2026-07-03T09:00:00Z","usedAt":null}]}`
	out["GET /api/v1/sandbox/messages/c00000000000000000000001a"] = `200 {"id":"c00000000000000000000001a","channel":"SMS","toAddress":"233241234567","body":"Hi “you”","segments":1,"encoding":"UCS2"}`
	out["GET /api/admin/messages/*"] = `200 {"id":"c00000000000000000000001a","channel":"SMS","status":"FAILED","toAddress":"233241234567","app":{"id":"a","slug":"shop","name":"Shop"}}`
	out["GET /api/admin/apps/*"] = `200 {"id":"a","slug":"shop","name":"Shop","isActive":true,"queueState":"RUNNING","ratePerMinute":600}`
	return out
}

func full() map[string]string {
	out := empty()
	quoted, _ := json.Marshal(nasty)
	bad := string(quoted)
	message := func(status string) string {
		return `{"id":"c00000000000000000000001a","channel":"EMAIL","status":"` + status + `","toAddress":` + bad + `,"fromAddress":` + bad + `,"subject":` + bad + `,"body":` + bad +
			`,"cc":[` + bad + `],"bcc":[` + bad + `],"replyTo":` + bad + `,"headers":{` + bad + `:` + bad + `},"text":` + bad + `,"files":[{"filename":` + bad + `,"contentType":` + bad + `,"bytes":5}],"templateKey":` + bad + `,"templateVersion":3,"providerName":` + bad + `,"providerMessageId":` + bad + `,"errorCode":` + bad + `,"errorMessage":` + bad +
			`,"attempts":2,"possibleDuplicate":true,"mayHaveBeenSent":true,"unconfirmed":true,"waitingFor":` + bad + `,"nextAttemptAt":"2026-07-03T10:02:00Z","createdAt":"2026-07-03T09:00:00Z","updatedAt":"2026-07-03T09:59:00Z",
			"metadata":{"a":` + bad + `},"tags":[` + bad + `],"lane":"NORMAL","idempotencyKey":` + bad + `,"app":{"id":"a","slug":` + bad + `,"name":` + bad + `},
			"events":[{"sequence":1,"type":"accepted","to":"QUEUED","at":"2026-07-03T09:00:00Z"},{"sequence":2,"type":` + bad + `,"from":"QUEUED","to":` + bad + `,"at":"2026-07-03T09:10:00Z","provider":` + bad + `,"detail":` + bad + `}],
			"attemptLog":[{"attempt":1,"provider":` + bad + `,"configId":"c00000000000000000000005a","configName":` + bad + `,"configLevel":"APP","startedAt":"2026-07-03T09:00:00Z","endedAt":"2026-07-03T09:00:02Z","outcome":` + bad + `,"errorCode":` + bad + `,"detail":` + bad + `,"providerMessageId":` + bad + `}]}`
	}
	app := `{"id":"a","slug":"shop","name":` + bad + `,"isActive":true,"queueState":"PAUSED","ratePerMinute":600,"allowedSenders":[` + bad + `],"smsPrefixes":[` + bad + `],"webhookUrl":` + bad + `,"createdAt":"2026-07-03T09:00:00Z"}`
	out["GET /api/admin/messages"] = `200 {"data":[` + message("FAILED") + `,` + message("QUEUED") + `,` + message("OF_TOMORROW") + `],"nextCursor":"abc"}`
	out["GET /api/admin/messages/*"] = `200 ` + message("FAILED")
	out["GET /api/admin/apps"] = `200 {"data":[` + app + `],"nextCursor":"abc"}`
	out["GET /api/admin/apps/*"] = `200 ` + app
	out["GET /api/admin/alerts"] = `200 {"data":[{"id":"1","alert":"provider_down","state":"raised","subject":` + bad + `,"since":"2026-07-03T09:00:00Z","clearedAt":null,"title":` + bad + `,"text":` + bad + `,"do":` + bad + `},{"id":"2","alert":"messages_waiting","state":"cleared","since":"2026-07-03T09:00:00Z","clearedAt":"2026-07-03T09:30:00Z","title":` + bad + `,"text":` + bad + `}],"nextCursor":null}`
	out["GET /api/admin/apps/a/keys"] = `200 {"data":[{"id":"c00000000000000000000002a","name":` + bad + `,"prefix":` + bad + `,"lastFour":"abcd","scopes":["SEND"],"createdBy":` + bad + `,"createdAt":"2026-07-03T09:00:00Z","lastUsedAt":"2026-07-03T09:30:00Z"},
		{"id":"c00000000000000000000003a","prefix":"x","scopes":[],"createdAt":"2026-07-03T09:00:00Z","revokedAt":"2026-07-03T09:30:00Z"},{"id":"c00000000000000000000004a","prefix":"x","scopes":[],"createdAt":"2026-07-03T09:00:00Z","expiresAt":"2026-08-03T09:30:00Z"}],"nextCursor":"abc"}`
	out["GET /api/admin/stats"] = `200 {"window":"24h","counts":{"accepted":1000000,"sent":999999,"failed":1},"latency":{"accepted":{"count":5,"p50Ms":12,"p95Ms":2500,"p99Ms":61000},"due":{"count":5}},"channels":[{"channel":"SMS","latency":{"accepted":{"count":5}}}],
		"providers":[{"provider":` + bad + `,"channel":"SMS","attempts":5,"failed":1}],"apps":[{"id":"a","slug":` + bad + `,"name":` + bad + `,"counts":{"accepted":1}},{"id":"b","slug":"","name":"","counts":{"accepted":1}}],
		"buckets":[{"at":"2026-07-03T08:00:00Z","counts":{"accepted":1000000,"sent":999999},"latency":{"accepted":{"count":5,"p50Ms":12,"p95Ms":2500}}},{"at":"2026-07-03T09:00:00Z","counts":{"accepted":1,"failed":1}}]}`
	out["GET /api/admin/queue"] = `200 {"data":[{"app":{"id":"a","slug":"shop","name":` + bad + `},"queueState":"PAUSED","channel":` + bad + `,"lane":"BULK","due":3,"atLeast":true,"oldestDueAt":"2026-07-03T09:00:00Z","oldestAgeSeconds":3600,"waitingFor":` + bad + `,"waitingUntil":"2026-07-03T11:00:00Z"}],
		"countedAt":"2026-07-03T09:59:40Z","nextCursor":"abc","countedTo":1000,"totals":{"waiting":3,"atLeast":true,"sending":1},"providers":[{"id":"p","app":` + bad + `,"name":` + bad + `,"providerType":` + bad + `,"sending":1}]}`
	listed := `{"channel":"EMAIL","address":` + bad + `,"reason":` + bad + `,"note":` + bad + `,"source":` + bad + `,"createdAt":"2026-07-03T09:00:00Z","app":{"id":"a","slug":` + bad + `,"name":` + bad + `}}`
	out["GET /api/v1/suppressions"], out["GET /api/admin/suppressions"] = `200 {"data":[`+listed+`],"nextCursor":"abc"}`, `200 {"data":[`+listed+`],"nextCursor":"abc"}`
	out["GET /api/admin/audit"] = `200 {"data":[{"sequence":7,"at":"2026-07-03T09:00:00Z","actor":` + bad + `,"actorName":` + bad + `,"address":` + bad + `,"app":` + bad + `,"action":` + bad + `,"target":` + bad + `,"detail":{` + bad + `:{"from":` + bad + `,"to":[` + bad + `,5]},"b":{"changed":true}}}],"nextCursor":"abc"}`
	hook := `{"id":"c00000000000000000000001a","name":` + bad + `,"url":` + bad + `,"statuses":[` + bad + `],"channels":[` + bad + `],"tags":[` + bad + `],"isActive":false,"disabledReason":"gone","disabledAt":"2026-07-03T09:00:00Z","previousSecretEndsAt":"2026-07-03T11:00:00Z"}`
	out["GET /api/v1/webhooks"], out["GET /api/v1/webhooks/c00000000000000000000001a"] = `200 {"data":[`+hook+`],"nextCursor":null}`, `200 `+hook
	delivery := `{"id":"c00000000000000000000004a","eventId":` + bad + `,"messageId":"c00000000000000000000001a","status":` + bad + `,"state":"failed","attempts":2,"nextAttemptAt":"2026-07-03T11:00:00Z","createdAt":"2026-07-03T09:00:00Z","endedAt":"2026-07-03T09:10:00Z",
		"body":{"a":` + bad + `},"attemptLog":[{"attempt":1,"at":"2026-07-03T09:00:00Z","tookMs":12,"status":500,"fault":` + bad + `,"answer":` + bad + `}]}`
	out["GET /api/v1/webhooks/c00000000000000000000001a/deliveries"] = `200 {"data":[` + delivery + `],"nextCursor":"abc"}`
	out["GET /api/v1/webhooks/c00000000000000000000001a/deliveries/c00000000000000000000004a"] = `200 ` + delivery
	someone := `{"id":"c00000000000000000000001a","name":` + bad + `,"role":` + bad + `,"isActive":false,"secondFactor":true,"signedInAt":"2026-07-03T09:00:00Z"}`
	out["GET /api/admin/users"], out["GET /api/admin/users/*"] = `200 {"data":[`+someone+`],"nextCursor":"abc"}`, `200 `+someone
	out["GET /api/admin/session/second-factor"] = `200 {"authenticator":true,"recoveryCodesLeft":9,"securityKeys":[{"id":"c00000000000000000000002a","name":` + bad + `,"createdAt":"2026-07-03T09:00:00Z","usedAt":"2026-07-03T09:30:00Z"}]}`
	relay := `{"id":"c00000000000000000000001a","providerType":"SMTP","channel":"EMAIL","name":` + bad + `,"isActive":true,"pinned":true,"config":{"host":` + bad + `,"from":` + bad + `},"callbackUrl":` + bad + `,"previousCallbackEndsAt":"2026-07-03T09:00:00Z","ratePerDay":5,"warnings":[{"code":"provider_down","message":` + bad + `}],
		"health":{"state":"DOWN","since":"2026-07-03T09:50:00Z","reason":"provider_down","code":` + bad + `,"answer":` + bad + `,"nextTryAt":"2026-07-03T10:00:40Z","carried":[{"id":"b","name":` + bad + `,"messages":1312}],
		"nodes":[{"node":` + bad + `,"state":"DOWN","since":"2026-07-03T09:50:00Z","code":` + bad + `,"answer":` + bad + `,"nextTryAt":"2026-07-03T10:00:40Z"},{"node":null,"state":"TRYING","since":"2026-07-03T09:55:00Z"}],
		"outages":[{"since":"2026-07-03T09:50:00Z","endedAt":null,"code":` + bad + `,"answer":` + bad + `,"carried":[{"id":"b","name":` + bad + `,"messages":1300}]},{"since":"2026-07-01T09:50:00Z","endedAt":"2026-07-01T10:50:00Z","carried":[]}]}}`
	out["GET /api/admin/provider-configs"], out["GET /api/admin/provider-configs/*"] = `200 {"data":[`+relay+`,{"id":"c00000000000000000000005a","providerType":"OF_TOMORROW","channel":"EMAIL","name":`+bad+`}],"nextCursor":null}`, `200 `+relay
	template := `{"id":"c00000000000000000000001a","key":` + bad + `,"channel":"EMAIL","name":` + bad + `,"subject":` + bad + `,"body":` + bad + `,"text":` + bad + `,"version":3,"variables":[` + bad + `]}`
	at := "GET /api/v1/templates/c00000000000000000000001a"
	out["GET /api/v1/templates"], out[at], out[at+"/versions"] = `200 {"data":[`+template+`],"nextCursor":"abc"}`, `200 `+template, `200 {"data":[{"version":3,"subject":`+bad+`},{"version":2,"subject":`+bad+`}],"nextCursor":null}`
	out[at+"/versions/2"] = `200 {"version":2,"subject":"was","body":` + bad + `,"text":` + bad + `}`
	out["GET /api/admin/events"] = `200 {"data":[{"app":{"id":"a","slug":` + bad + `,"name":` + bad + `},"messageId":"c00000000000000000000001a","channel":"SMS","sandbox":true,"toAddress":` + bad + `,"sequence":2,"type":` + bad + `,"from":"QUEUED","to":` + bad + `,"at":"2026-07-03T09:10:00Z","attempt":1,"provider":` + bad + `,"errorCode":` + bad + `,"detail":` + bad + `},
		{"app":{"id":"a","slug":"shop","name":"Shop"},"messageId":"c00000000000000000000001a","channel":"EMAIL","toAddress":null,"sequence":3,"type":"report_failed","from":"SENT","to":"FAILED","at":"2026-07-03T09:59:58Z","errorCode":"bounced"}],"looked":2,"passed":3,"atLeast":true,"nextCursor":"BBB"}`
	out["GET /api/admin/erasures/*"] = `200 {"id":"c00000000000000000000006a","channel":"SMS","status":"RUNNING","stage":` + bad + `,"erased":3,"cancelled":1,"masked":1000,"waiting":2,"createdAt":"2026-07-03T09:59:00Z"}`
	out["GET /api/admin/hold"] = `200 {"state":"HELD","mayHaveBeenSent":3,"waiting":1000,"atLeast":true,"backupTakenAt":"2026-07-01T09:00:00Z","restoredAt":"2026-07-03T09:00:00Z"}`
	captured := `{"id":"c00000000000000000000001a","channel":"EMAIL","toAddress":` + bad + `,"fromAddress":` + bad + `,"cc":[` + bad + `],"bcc":[` + bad + `],"replyTo":` + bad + `,"headers":{` + bad + `:` + bad + `},
		"subject":` + bad + `,"body":` + bad + `,"text":` + bad + `,"attachments":1,"tags":[` + bad + `],"capturedAt":"2026-07-03T09:30:00Z"}`
	out["GET /api/v1/sandbox/messages"] = `200 {"data":[` + captured + `,{"id":"c00000000000000000000003a","channel":"SMS","toAddress":` + bad + `,"body":` + bad + `,"segments":2,"encoding":"UCS2"}],"nextCursor":"abc"}`
	out["GET /api/v1/sandbox/messages/c00000000000000000000001a"] = `200 ` + captured
	out["GET /api/v1/sandbox/messages/c00000000000000000000001a/source"] = "200 " + nastyMail
	return out
}
