package simulate

import (
	"strings"

	"github.com/commserver/commserver/internal/provider"
)

// Stages of a mail relay's dialogue.
const (
	stageAuth = "auth"
	stageMail = "mail"
	stageRcpt = "rcpt"
	stageData = "data"
)

// Refusal is a documented error of a provider type.
type Refusal struct {
	Type   string
	Name   string // what a rule calls it
	Status int    // of HTTP; of SMTP the reply's code
	Code   string // in the body, or the enhanced code; may be empty
	Stage  string // of SMTP
	Text   string
	Class  provider.Class // what the documentation, as we read it, makes of it
}

// Refusals is every documented error that can be ordered. What stands first of its
// type is the one for a bad recipient. Sources: the providers' pages on errors; for
// SMTP RFC 5321, RFC 4954 and the IANA registry of enhanced codes.
func Refusals() []Refusal {
	var all []Refusal
	for _, of := range [][]Refusal{resendRefusals(), arkeselRefusals(), hubtelRefusals(), naloRefusals(), mnotifyRefusals(), twilioRefusals(), smtpRefusals()} {
		all = append(all, of...)
	}
	return all
}

// refusal finds an error by its name; without one it is the type's error for a bad recipient.
func refusal(kind, name string) (Refusal, bool) {
	for _, r := range Refusals() {
		if r.Type == kind && (name == "" || r.Name == name) {
			return r, true
		}
	}
	return Refusal{}, false
}

// must finds an error that our own code names.
func must(kind, name string) Refusal {
	r, found := refusal(kind, name)
	if !found {
		panic("simulate: " + kind + " has no error " + name)
	}
	return r
}

func refusalNames(kind string) string {
	var all []string
	for _, r := range Refusals() {
		if r.Type == kind {
			all = append(all, r.Name)
		}
	}
	return strings.Join(all, ", ")
}

func resendRefusals() []Refusal {
	row := func(status int, name, text string, class provider.Class) Refusal {
		return Refusal{Type: "RESEND", Name: name, Status: status, Code: name, Text: text, Class: class}
	}
	unverified := row(403, "domain_not_verified", "The domain of the sender is not verified.", provider.PermanentHere)
	unverified.Code = "validation_error"
	return []Refusal{
		row(400, "validation_error", "Invalid `to` field.", provider.PermanentMessage),
		row(422, "missing_required_field", "Missing `to` field.", provider.PermanentMessage),
		row(422, "invalid_attachment", "Attachment must have either a content or a path.", provider.PermanentMessage),
		row(422, "invalid_parameter", "A parameter is not valid.", provider.PermanentMessage),
		row(422, "invalid_from_address", "Invalid `from` field.", provider.PermanentHere),
		row(400, "invalid_idempotency_key", "The key must be 1 to 256 characters long.", provider.PermanentHere),
		row(401, "missing_api_key", "Missing API key in the authorization header.", provider.Account),
		row(401, "restricted_api_key", "This API key is restricted to only send emails.", provider.Account),
		row(403, "invalid_api_key", "API key is invalid.", provider.Account),
		unverified,
		row(404, "not_found", "The requested endpoint does not exist.", provider.Account),
		row(405, "method_not_allowed", "Method is not allowed for the requested path.", provider.Account),
		row(409, "invalid_idempotent_request", "Same idempotency key used with a different request payload.", provider.Accepted),
		row(409, "concurrent_idempotent_requests", "Same idempotency key used while the original request is still in progress.", provider.Ambiguous),
		row(429, "rate_limit_exceeded", "Too many requests.", provider.RateLimited),
		row(429, "daily_quota_exceeded", "You have reached your daily email sending quota.", provider.Account),
		row(429, "monthly_quota_exceeded", "You have reached your monthly email sending quota.", provider.Account),
		row(451, "security_error", "A security issue was found with the request.", provider.PermanentHere),
		row(500, "application_error", "An unexpected error occurred.", provider.Ambiguous),
		row(500, "internal_server_error", "An unexpected error occurred.", provider.Ambiguous),
		row(503, "service_unavailable", "The service is not available at the moment.", provider.Ambiguous),
	}
}

func arkeselRefusals() []Refusal {
	row := func(status int, name, text string, class provider.Class) Refusal {
		return Refusal{Type: "ARKESEL", Name: name, Status: status, Text: text, Class: class}
	}
	return []Refusal{
		row(200, "invalid numbers", "Every number is invalid; the answer says success.", provider.PermanentMessage),
		row(422, "422 number", "The recipients must be valid phone numbers.", provider.PermanentMessage),
		row(422, "422 message", "The message field is required.", provider.PermanentMessage),
		row(422, "422 sender", "The sender id is not approved.", provider.PermanentHere),
		row(401, "401", "Authentication failed.", provider.Account),
		row(402, "402", "Insufficient balance.", provider.Account),
		row(403, "403", "Inactive gateway.", provider.Account),
		row(429, "429", "Too many requests.", provider.RateLimited),
		row(500, "500", "Internal error.", provider.Ambiguous),
	}
}

func hubtelRefusals() []Refusal {
	row := func(status int, code, text string, class provider.Class) Refusal {
		name := strings.TrimSuffix(itoa(status)+"/"+code, "/")
		return Refusal{Type: "HUBTEL", Name: name, Status: status, Code: code, Text: text, Class: class}
	}
	return []Refusal{
		row(400, "1", "invalid destination address", provider.PermanentMessage),
		row(400, "0", "malformed or empty request", provider.PermanentHere),
		row(400, "2", "invalid source address", provider.PermanentHere),
		row(400, "3", "message body is too long", provider.PermanentHere),
		row(400, "4", "message is not routable on the gateway", provider.PermanentHere),
		row(400, "5", "delivery time is not valid", provider.PermanentHere),
		row(400, "6", "message content was rejected or is invalid", provider.PermanentHere),
		row(400, "7", "a parameter is not allowed", provider.PermanentHere),
		row(400, "8", "a parameter is not valid", provider.PermanentHere),
		row(402, "12", "payment is required, fund the account", provider.Account),
		row(401, "", "authentication failed", provider.Account),
		row(402, "", "not enough credit", provider.Account),
		row(403, "", "recipient has not given approval to receive messages", provider.PermanentMessage),
		row(404, "", "message not found", provider.Account),
		row(429, "", "too many requests", provider.RateLimited),
		row(500, "", "the server failed", provider.Ambiguous),
		row(502, "", "no gateway was found for the request", provider.Transient),
	}
}

func naloRefusals() []Refusal {
	row := func(code, text string, class provider.Class) Refusal {
		return Refusal{Type: "NALO", Name: code, Status: 200, Code: code, Text: text, Class: class}
	}
	wrongKey := row("1713", "invalid auth key", provider.Account)
	wrongKey.Status = 412
	return []Refusal{
		row("1706", "invalid destination", provider.PermanentMessage),
		row("1702", "invalid URL or missing parameter", provider.PermanentHere),
		row("1703", "invalid value in username or password", provider.Account),
		row("1704", "invalid value in type", provider.PermanentHere),
		row("1705", "invalid message", provider.PermanentMessage),
		row("1707", "invalid source", provider.PermanentHere),
		row("1708", "invalid value in dlr", provider.PermanentHere),
		row("1709", "user validation failed", provider.Account),
		row("1710", "internal error", provider.Ambiguous),
		wrongKey,
		row("1025", "insufficient credit of the user", provider.Account),
		row("1026", "insufficient credit of the reseller", provider.Account),
	}
}

func mnotifyRefusals() []Refusal {
	row := func(status int, name, code, text string, class provider.Class) Refusal {
		return Refusal{Type: "MNOTIFY", Name: name, Status: status, Code: code, Text: text, Class: class}
	}
	return []Refusal{
		row(200, "1005", "1005", "Invalid phone number.", provider.PermanentMessage),
		row(200, "rejected", "2000", "The number counts as rejected; the answer says success.", provider.PermanentMessage),
		row(200, "1002", "1002", "Message sending failed.", provider.Ambiguous),
		row(200, "1003", "1003", "Insufficient balance.", provider.Account),
		row(200, "1004", "1004", "Invalid API key.", provider.Account),
		row(200, "1006", "1006", "Invalid sender id: it must not have more than 11 characters.", provider.PermanentHere),
		row(200, "1008", "1008", "Empty message.", provider.PermanentMessage),
		row(200, "1011", "1011", "Numeric sender ids are not allowed.", provider.PermanentHere),
		row(200, "1012", "1012", "The sender id is not registered.", provider.PermanentHere),
		row(401, "401", "1004", "Invalid API key.", provider.Account),
		row(403, "403", "1004", "This key may not send.", provider.Account),
		row(429, "429", "", "Too many requests.", provider.RateLimited),
		row(500, "500", "", "Internal error.", provider.Ambiguous),
	}
}

func twilioRefusals() []Refusal {
	row := func(status int, code, text string, class provider.Class) Refusal {
		return Refusal{Type: "TWILIO", Name: code, Status: status, Code: code, Text: text, Class: class}
	}
	return []Refusal{
		row(400, "21211", "Invalid 'To' phone number.", provider.PermanentMessage),
		row(401, "20003", "Authenticate", provider.Account),
		row(403, "20005", "The account is not active.", provider.Account),
		row(404, "20404", "The requested resource was not found.", provider.Account),
		row(429, "20429", "Too many requests.", provider.RateLimited),
		row(500, "20500", "Internal server error.", provider.Ambiguous),
		row(400, "21212", "Invalid 'From' number.", provider.PermanentHere),
		row(400, "21214", "The 'To' phone number cannot be reached.", provider.PermanentMessage),
		row(400, "21401", "Invalid phone number.", provider.PermanentMessage),
		row(400, "21408", "Permission to send to this country has not been enabled.", provider.PermanentHere),
		row(400, "21421", "The phone number is invalid.", provider.PermanentMessage),
		row(400, "21602", "Message body is required.", provider.PermanentMessage),
		row(400, "21603", "A 'From' phone number is required.", provider.PermanentHere),
		row(400, "21606", "The 'From' phone number is not a valid, message-capable number of this account.", provider.PermanentHere),
		row(400, "21608", "The 'To' number is unverified; trial accounts cannot send to it.", provider.Account),
		row(400, "21609", "The 'StatusCallback' URL is not a valid URL.", provider.Account),
		row(400, "21610", "The recipient has unsubscribed from this sender.", provider.PermanentMessage),
		row(429, "21611", "This 'From' number has exceeded the maximum number of queued messages.", provider.RateLimited),
		row(400, "21612", "The 'To' number is not reachable from this sender.", provider.PermanentHere),
		row(400, "21614", "The 'To' number is not a valid mobile number.", provider.PermanentMessage),
		row(400, "21617", "The message body exceeds the 1600 character limit.", provider.PermanentHere),
		row(400, "21635", "The 'To' number cannot be a landline.", provider.PermanentMessage),
		row(400, "21659", "'From' is not a phone number of this account.", provider.PermanentHere),
		row(400, "21703", "The messaging service contains no phone numbers.", provider.PermanentHere),
	}
}

func smtpRefusals() []Refusal {
	row := func(stage, name, text string, class provider.Class) Refusal {
		status, enhanced, _ := strings.Cut(name, " ")
		r := Refusal{Type: SMTP, Name: stage + " " + name, Stage: stage, Code: enhanced, Text: text, Class: class}
		for _, digit := range status {
			r.Status = r.Status*10 + int(digit-'0')
		}
		return r
	}
	return []Refusal{
		row(stageRcpt, "550 5.1.1", "no such mailbox", provider.PermanentMessage),
		row(stageAuth, "535 5.7.8", "authentication credentials invalid", provider.Account),
		row(stageAuth, "454 4.7.0", "temporary authentication failure", provider.Transient),
		row(stageMail, "530 5.7.0", "authentication required", provider.PermanentHere),
		row(stageMail, "550 5.1.8", "the sender's domain is not known", provider.PermanentHere),
		row(stageMail, "553 5.7.1", "sender not owned by this user", provider.PermanentHere),
		row(stageMail, "452 4.3.1", "insufficient system storage", provider.Transient),
		row(stageMail, "421 4.3.2", "the service shuts down", provider.Transient),
		row(stageRcpt, "550 5.1.2", "no such domain", provider.PermanentMessage),
		row(stageRcpt, "550 5.1.10", "the recipient's domain takes no mail", provider.PermanentMessage),
		row(stageRcpt, "550 5.2.1", "the mailbox is disabled", provider.PermanentMessage),
		row(stageRcpt, "452 4.2.2", "the mailbox is full", provider.Transient),
		row(stageRcpt, "550 5.7.1", "not through this relay", provider.PermanentHere),
		row(stageRcpt, "451 4.7.1", "greylisted, try again later", provider.Transient),
		row(stageRcpt, "451 4.3.0", "the mail system failed, try again later", provider.Transient),
		row(stageRcpt, "450 4.2.0", "the mailbox is not available now", provider.Transient),
		row(stageRcpt, "421 4.3.2", "the service shuts down", provider.Transient),
		row(stageData, "550 5.7.26", "the mail fails the sender's policy", provider.PermanentHere),
		row(stageData, "554 5.6.0", "the content is refused", provider.PermanentHere),
		row(stageData, "552 5.3.4", "the mail is too large", provider.PermanentHere),
		row(stageData, "451 4.3.0", "not taken, try again later", provider.Transient),
	}
}
