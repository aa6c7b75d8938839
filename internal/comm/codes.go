package comm

// Code is one row of the table of error codes; docs/errors.md is generated from it.
type Code struct {
	Kind Kind
	Code string // details.code
	Text string // the sentence when the place has no better one
}

// Codes is every error code that a client can see.
func Codes() []Code { return codes[:] }

var codes = [...]Code{
	{Internal, "internal", "Something failed on our side; quote the request id to the operator."},
	{Invalid, "invalid_json", "The body must be one JSON object in UTF-8."},
	{Invalid, "invalid_body", "The body must be a JSON object."},
	{Invalid, "trailing_data", "Something follows the JSON object; send one object only."},
	{Invalid, "duplicate_field", "A field occurs twice; send each field once."},
	{Invalid, "unknown_field", "This field is not known here; check its spelling and case."},
	{Invalid, "invalid_field", "A field has a wrong value; see details.fields."},
	{Invalid, "too_deep", "The JSON is nested too deeply."},
	{Invalid, "too_many_fields", "An object has too many fields."},
	{Invalid, "too_many_items", "A list has too many items; send the rest in another request."},
	{Invalid, "invalid_utf8", "The text is not valid UTF-8."},
	{Invalid, "invalid_channel", "channel must be EMAIL or SMS."},
	{Invalid, "invalid_to", "to must be one recipient address."},
	{Invalid, "invalid_phone", "to must be an international phone number: digits only, such as 233241234567."},
	{Invalid, "single_recipient", "to takes exactly one recipient; send one message for each."},
	{Invalid, "smtputf8_unsupported", "The part before the @ must be ASCII."},
	{Invalid, "invalid_address", "address must be one email address or phone number, as channel says."},
	{Invalid, "invalid_import", "The file to import cannot be read from here on; see details."},
	{Invalid, "body_or_template", "Give body or templateKey."},
	{Invalid, "body_and_template", "Give body or templateKey, not both."},
	{Invalid, "body_required", "body must not be empty."},
	{Invalid, "subject_required", "An email needs a subject."},
	{Invalid, "field_not_allowed", "This field does not go with the channel or with another field; see details.fields."},
	{Invalid, "too_long", "The text is too long."},
	{Invalid, "control_character", "The text holds a control character that cannot be sent."},
	{Invalid, "invalid_from", "from is not usable as a sender."},
	{Invalid, "invalid_template_key", "templateKey must be 1 to 100 letters, digits, dots, dashes or underscores."},
	{Invalid, "invalid_template", "The template is wrong; see details.fields for the place."},
	{Invalid, "too_many_templates", "The app has as many templates as it can have; delete one first."},
	{Invalid, "template_channel_mismatch", "The template is of the other channel; use one of the message's channel."},
	{Invalid, "invalid_variable", "Variables must be strings, numbers or booleans."},
	{Invalid, "invalid_idempotency_key", "The idempotency key must be 1 to 255 printable ASCII characters."},
	{Invalid, "invalid_scheduled_at", "scheduledAt must be an ISO 8601 time such as 2026-07-03T10:00:00Z."},
	{Invalid, "timezone_required", "scheduledAt needs a time zone: end it with Z or an offset."},
	{Invalid, "too_far", "scheduledAt may lie at most 366 days ahead."},
	{Invalid, "invalid_metadata", "metadata must be a JSON object of at most 16 KiB, at most 8 deep."},
	{Invalid, "invalid_attachment", "An attachment needs filename, contentType and base64 content."},
	{Invalid, "invalid_cursor", "The cursor is not one of ours for this list; start again without it."},
	{Invalid, "invalid_query", "A query parameter is wrong; see details.fields."},
	{Invalid, "too_many_apps", "Too many apps wrote to this recipient to look through all of them; name one with app."},
	{Invalid, "invalid_action", "action is not one that is known here; see details.fields."},
	{Invalid, "invalid_webhook_url", "The webhook URL must be https, with a public host."},
	{Invalid, "too_many_endpoints", "The app has as many webhook endpoints as it can have; delete one first."},
	{Invalid, "too_many_users", "There are as many users as there can be; delete one first."},
	{Invalid, "invalid_config", "The provider configuration is wrong; see details.fields."},
	{Invalid, "blocked_address", "This address is not allowed as a target."},
	{Unauthenticated, "unauthenticated", "Missing or invalid credentials: check X-App-ID and X-API-Key, and that app and key are active."},
	{Unauthenticated, "second_factor_required", "The password is right; send the code of the second factor with it, or a recovery code, or the answer of a security key."},
	{Unauthenticated, "forged_report", "The report is not signed as its provider signs; nothing was stored."},
	{Forbidden, "insufficient_scope", "The API key lacks a scope."},
	{Forbidden, "insufficient_role", "Your role does not allow this; an administrator can change it."},
	{Forbidden, "cross_site", "A page of another site sent this request with your session; nothing was changed. Do it from the console, or type the address yourself."},
	{Forbidden, "password_change_required", "The password was set by an administrator: choose your own first, with POST /api/admin/session/password."},
	{Forbidden, "from_not_allowed", "This sender is not allowed for the app."},
	{Forbidden, "number_not_allowed", "The app may not send SMS to this number: its administrator allows other beginnings."},
	{Missing, "not_found", "No such resource; check the path and the identifier."},
	{Missing, "nothing_captured", "The sandbox has taken no such message yet; wait again."},
	{Missing, "template_not_found", "No template with this key; check app ownership and the key."},
	{Missing, "provisioning_disabled", "Provisioning is off; the operator switches it on with COMMS_PROVISIONING_KEY."},
	{Conflict, "idempotency_key_reused", "This idempotency key was used for another request; use a new one."},
	{Conflict, "invalid_state", "The message is not in a state that allows this."},
	{Conflict, "already_exists", "Something with this name exists already."},
	{Conflict, "template_key_taken", "A template with this key exists; use it, or choose another key."},
	{Conflict, "address_suppressed", "This address is on the app's opt-out list: nothing was sent."},
	{Conflict, "provider_cannot_send", "This version cannot send with this type of provider yet."},
	{TooLarge, "body_too_large", "The request body is too large."},
	{TargetTooLong, "request_line_too_long", "The path with its query is longer than 8 KiB."},
	{HeadTooLarge, "too_many_headers", "The request has more than 100 header lines."},
	{Unsupported, "unsupported_media_type", "Send Content-Type: application/json, UTF-8, without Content-Encoding."},
	{Method, "method_not_allowed", "This path does not take this method; see Allow."},
	{Unprocessable, "missing_variables", "Template variables are missing; see details.missing."},
	{Limited, "rate_limited", "The app's rate per minute is used up; retry later."},
	{Limited, "quota_exceeded", "The app's SMS segments of the day are used up; the next day begins at 00:00 UTC."},
	{Limited, "too_many_failures", "Too many failed authentications from this address; retry later."},
	{Limited, "too_many_streams", "Too many streams of events are open; close one, or read GET /api/v1/events."},
	{Unavailable, "unavailable", "This cannot be done now; send the same request again, a message with the same idempotency key."},
	{Unavailable, "app_draining", "The app's queue is being drained: new messages are refused until the administrator resumes it; retry later."},
	{Timeout, "timeout", "The request did not arrive in time: send 80 KiB in 5 seconds at least, and all of it within 30."},
}

// OfValues are the codes of mistakes that the values of a template can make, as Rendered reports them.
func OfValues() []string { return ofValues[:] }

var ofValues = [...]string{"too_long", "control_character", "subject_required", "body_required"}

func codeOf(code string) Code {
	for _, c := range codes {
		if c.Code == code {
			return c
		}
	}
	return Code{Kind: Internal, Code: "internal", Text: codes[0].Text}
}
