package hostile

import (
	"maps"
	"strings"

	"github.com/commserver/commserver/internal/openapi"
)

// body writes a body that is right but, perhaps, for the value at the place.
func (x *limitsOf) body(p *place, v any) any {
	of := openapi.Named(x.o.Body())
	if of == "NewBatch" {
		inner, found := strings.CutPrefix(p.name, "messages[].")
		if p.in != "body" || !found {
			return x.set(parsed(`{"messages":[`+sms()+`]}`), p, v)
		}
		one := *p
		one.name = inner
		return map[string]any{"messages": []any{x.set(message0(inner, v), &one, v)}}
	}
	return x.set(x.base(of, p, v), p, v)
}

func (x *limitsOf) set(base map[string]any, p *place, v any) any {
	if p.in != "body" {
		return base
	}
	steps := strings.Split(strings.ReplaceAll(p.name, ".*", "."+p.member), ".")
	if steps[0] == "config" && len(steps) == 3 { // the type is no part of the way
		steps = []string{"config", steps[2]}
	}
	return put(base, steps, v)
}

// message0 is a message that a member belongs into.
func message0(member string, v any) map[string]any {
	first, _, _ := strings.Cut(strings.Replace(member, "[]", ".", 1), ".")
	switch {
	case first == "templateKey":
		return map[string]any{"channel": "SMS", "to": "233241234567"}
	case first == "variables":
		return map[string]any{"channel": "EMAIL", "to": "a@example.com", "templateKey": "plain"}
	case first == "attachments":
		return put(parsed(email()), []string{"attachments"}, []any{file()}).(map[string]any)
	case strings.Contains(" to body from subject text cc bcc replyTo headers ", " "+first+" ") || v == "EMAIL":
		return parsed(email())
	}
	return parsed(sms())
}

// base is a body that is right, by the name of its schema.
func (x *limitsOf) base(of string, p *place, v any) map[string]any {
	switch of {
	case "NewMessage":
		return message0(p.name, v)
	case "Action":
		return parsed(`{"action":"CANCEL"}`)
	case "NewProviderConfig":
		return newConfig(p, v)
	case "ProviderConfigChange":
		if kind := typeOf(p); kind != "" {
			return map[string]any{"config": fieldsOf(kind, "password")} // another host wants the secret again
		}
	case "NewTemplate":
		out := map[string]any{"key": unique(), "channel": "EMAIL", "subject": "s", "body": "x"}
		if v == "SMS" {
			delete(out, "subject")
		}
		return out
	case "Rollback":
		return parsed(`{"version":1}`)
	case "NewApp", "NewAdminApp":
		return map[string]any{"name": "X", "slug": unique()}
	case "Replay":
		return parsed(`{"createdAfter":"2020-01-01T00:00:00Z","createdBefore":"2040-01-01T00:00:00Z"}`)
	case "NewWebhook":
		return map[string]any{"name": unique(), "url": "https://hooks.example.com/"}
	case "TestMessage":
		return parsed(`{"to":"a@example.com"}`)
	case "NewSuppression", "NewErasure", "NewAnyErasure":
		if v == "SMS" {
			return parsed(`{"channel":"SMS","address":"233241234567"}`)
		}
		return parsed(`{"channel":"EMAIL","address":"a@example.com"}`)
	case "QueueChange":
		if strings.Contains(" confirm channel lane cursor createdBefore ", " "+p.name+" ") || v == "CANCEL" {
			return parsed(`{"action":"CANCEL","app":"{app}","confirm":"{app}"}`)
		}
		return parsed(`{"action":"RESUME","app":"{app}"}`)
	}
	if body := usersBody(of, p); body != nil {
		return body
	}
	return map[string]any{} // nothing is required
}

// typeOf is the provider's type that a place is a field of, or "".
func typeOf(p *place) string {
	steps := strings.Split(p.name, ".")
	if steps[0] != "config" || len(steps) != 3 {
		return ""
	}
	return steps[1]
}

// newConfig is a configuration of the type that the place is about.
func newConfig(p *place, v any) map[string]any {
	kind := typeOf(p)
	if text, ok := v.(string); ok && p.name == "providerType" {
		kind = text
	}
	if wholeConfigs()[kind] == nil {
		kind = "SMTP"
	}
	return map[string]any{"providerType": kind, "config": fieldsOf(kind, p.last())}
}

// fieldsOf are the fields of a type that go with one of them.
func fieldsOf(kind, field string) map[string]any {
	out := maps.Clone(wholeConfigs()[kind])
	switch kind + "." + field {
	case "SMTP.username", "SMTP.password":
		out["username"], out["password"] = "u", "p"
	case "NALO.username", "NALO.password":
		delete(out, "authKey")
		out["username"], out["password"] = "u", "p"
	}
	return out
}

// wholeConfigs have what each type requires.
func wholeConfigs() map[string]map[string]any {
	return map[string]map[string]any{
		"RESEND": {"apiKey": "a"}, "SMTP": {"host": "mail.example.com"}, "ARKESEL": {"apiKey": "a"}, "HUBTEL": {"clientId": "a", "clientSecret": "b"},
		"NALO": {"authKey": "a"}, "MNOTIFY": {"apiKey": "a"}, "TWILIO": {"accountSid": "AC" + strings.Repeat("0a", 16), "authToken": "a"},
	}
}
