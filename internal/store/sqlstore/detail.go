package sqlstore

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/commserver/commserver/internal/comm"
)

// facts are what a thing's settings are, by the names that the API gives them.
type facts map[string]fact

// fact is one setting. What may be shown is in show; of the rest the audit log
// says only whether it changed.
type fact struct {
	value any // comparable
	show  any // nil: nothing of it
}

func shown(v any) fact { return fact{v, v} }

func hidden(v any) fact { return fact{value: v} }

// detail is the audit log's account of a change: each field with what it was and is.
type detail map[string]map[string]any

// differ is the detail of a change from before to after; either may be nil. Secrets,
// bodies and addresses never get into it: facts of such a kind are hidden.
func differ(before, after facts) detail {
	d := detail{}
	for name, is := range after {
		was, there := before[name]
		switch {
		case there && was.value == is.value, !there && is.show == nil && is.value == "":
		case is.show == nil && is.value == "" && was.show != nil: // there is none any more
			d[name] = map[string]any{"from": was.show, "to": ""}
		case is.show == nil:
			d[name] = map[string]any{"changed": true}
		case there:
			d[name] = map[string]any{"from": was.show, "to": is.show}
		default:
			d[name] = map[string]any{"to": is.show}
		}
	}
	for name, was := range before {
		switch _, there := after[name]; {
		case there, was.show == nil && was.value == "":
		case was.show == nil:
			d[name] = map[string]any{"changed": true}
		default:
			d[name] = map[string]any{"from": was.show}
		}
	}
	return d
}

// with adds a field that is new, and answers the same detail.
func (d detail) with(name string, to any) detail {
	d[name] = map[string]any{"to": to}
	return d
}

func appFacts(a *comm.App) facts {
	return facts{
		"slug": shown(a.Slug), "name": shown(a.Name), "isActive": shown(a.Active), "sandboxMode": shown(a.Sandbox), "onUnknownOutcome": shown(a.OnUnknown.String()),
		"ratePerMinute": shown(a.RatePerMinute), "shardSpread": shown(a.ShardSpread), "queuePaused": shown(a.QueuePaused), "queueDraining": shown(a.QueueDraining),
		"webhookUrl": {a.WebhookURL, origin(a.WebhookURL)}, "webhookSecret": hidden(string(a.WebhookSecret)), "allowedSenders": hidden(strings.Join(a.AllowedFrom, "\n")),
		"smsPerDay": shown(a.SMSPerDay), "smsPrefixes": shown(strings.Join(a.SMSPrefixes, " ")), "smsPerDayByPrefix": shown(shownCaps(a.SMSPrefixCaps)),
	}
}

// origin is what may be shown of an address in the web: its path may be a secret.
func origin(address string) any {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func endpointFacts(e *comm.Endpoint) facts {
	f := facts{
		"name": shown(e.Name), "url": {e.URL, origin(e.URL)}, "secret": hidden(string(e.Secret)), "statuses": shown(joined(e.Events)), "channels": shown(joined(e.Channels)),
		"tags": hidden(strings.Join(e.Tags, "\n")), "isActive": shown(e.Active), "disabled": shown(e.Disabled),
	}
	if len(e.Replaced) > 0 {
		ends := make([]comm.Micros, len(e.Replaced))
		for i, r := range e.Replaced {
			ends[i] = r.Until
		}
		f["previousSecretEndsAt"] = shown(joined(ends))
	}
	return f
}

func joined[T fmt.Stringer](list []T) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = v.String()
	}
	return strings.Join(words, " ")
}

func keyFacts(k *comm.Key) facts {
	f := facts{"name": shown(k.Name), "prefix": shown(k.Prefix), "scopes": shown(k.Scopes.String()), "provisioned": shown(k.Provisioned)}
	if k.ExpiresAt != 0 {
		f["expiresAt"] = shown(k.ExpiresAt.String())
	}
	return f
}

func providerFacts(p *comm.ProviderConfig) facts {
	f := facts{
		"providerType": shown(p.Type), "channel": shown(p.Channel.String()), "name": shown(p.Name), "priority": shown(p.Priority), "isActive": shown(p.Active),
		"ratePerSecond": shown(p.Limits.RatePerSecond), "ratePerDay": shown(p.Limits.RatePerDay), "maxConcurrency": shown(p.Limits.MaxConcurrent),
		"pinned": shown(p.Limits.Pinned), "secrets": hidden(string(p.Secrets)),
	}
	for name, value := range p.Settings {
		switch {
		case name == "host", name == "port", name == "secure", name == comm.CallbackRotatedAt, slices.Contains(comm.CallbackEnds(), name):
			f["config."+name] = shown(value)
		default: // perhaps an address, or a name that goes with a password
			f["config."+name] = hidden(value)
		}
	}
	return f
}
