package registry

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/sms"
)

// maxField bounds a text field whose adapter gives no bound, in bytes.
const maxField = 4096

// maxSent bounds the members of a configuration that are looked at one by one.
const maxSent = 100

// mergeFields writes what was sent over what is stored, as text.
func (s *Service) mergeFields(e *comm.Error, adapter *provider.Adapter, settings, secrets provider.Settings, sent map[string]any) {
	if len(sent) > maxSent {
		e.Field("config", "has far more members than any provider has fields")
		return
	}
	for name, value := range sent {
		path := "config." + name
		i := slices.IndexFunc(adapter.Fields, func(f provider.Field) bool { return f.Name == name })
		if i < 0 {
			e.Field(path, "is not a field of "+adapter.Type)
			continue
		}
		f := &adapter.Fields[i]
		into := settings
		if f.Secret {
			into = secrets
		}
		if value == nil {
			delete(into, name)
			continue
		}
		text, why := asText(f, value)
		switch {
		case why != "":
			e.Field(path, why)
		case f.Secret && text == Masked: // what we showed, sent back
		default:
			into[name] = text
		}
	}
}

// asText writes a JSON value as the field's text.
func asText(f *provider.Field, value any) (text, why string) {
	switch f.Kind {
	case provider.Int:
		n, ok := value.(float64)
		if !ok || n != math.Trunc(n) || math.Abs(n) > math.MaxInt32 {
			return "", "must be a whole number"
		}
		return strconv.Itoa(int(n)), ""
	case provider.Bool:
		b, ok := value.(bool)
		if !ok {
			return "", "must be true or false"
		}
		return strconv.FormatBool(b), ""
	}
	text, ok := value.(string)
	if !ok {
		return "", "must be a string"
	}
	top := maxField
	if (f.Kind == provider.Text || f.Kind == provider.Token) && f.Max > 0 {
		top = f.Max
	}
	if len(text) > top {
		return "", "is longer than " + strconv.Itoa(top) + " bytes"
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		return "", "must not hold control characters"
	}
	return text, ""
}

// checkFields judges the whole configuration after the merge.
func (s *Service) checkFields(e *comm.Error, adapter *provider.Adapter, settings, secrets provider.Settings) {
	all := provider.Settings{}
	for i := range adapter.Fields {
		f := &adapter.Fields[i]
		value, set := settings[f.Name]
		if f.Secret {
			value, set = secrets[f.Name]
		}
		path := "config." + f.Name
		if !set || value == "" {
			if f.Required && e.Fields[path] == "" {
				e.Field(path, "is missing")
			}
			continue
		}
		all[f.Name] = value
		if why := s.checkField(f, value, settings); why != "" && e.Fields[path] == "" {
			e.Field(path, why)
		}
	}
	if adapter.Check == nil || len(e.Fields) > 0 {
		return
	}
	for name, why := range adapter.Check(all) {
		e.Field("config."+name, why)
	}
}

// checkField judges one value that is set.
func (s *Service) checkField(f *provider.Field, value string, settings provider.Settings) string {
	switch f.Kind {
	case provider.Int:
		n, err := strconv.Atoi(value)
		if err != nil || n < f.Min || f.Max > 0 && n > f.Max {
			return "must be " + strconv.Itoa(f.Min) + " to " + strconv.Itoa(f.Max)
		}
		if f.Name == "port" && !s.portAllowed(settings["host"], n) {
			return "is not a port of mail submission: use 25, 465, 587 or 2525"
		}
	case provider.Host:
		if err := s.cfg.Mail.CheckHost(value); err != nil {
			return err.Error()
		}
	case provider.URL:
		u, err := s.cfg.Web.CheckURL(value)
		switch {
		case err != nil:
			return err.Error()
		case u.RawQuery != "" || u.ForceQuery:
			return "must not hold a query: paths are added to it"
		}
	case provider.Token:
		if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return "must be printable ASCII without spaces: copy it whole, and nothing else"
		}
	case provider.SenderID:
		if err := sms.CheckSender(value); err != nil {
			return err.Error()
		}
	case provider.Mailbox:
		if _, err := address.ParseMailbox(value); err != nil {
			return err.Error()
		}
	}
	return ""
}

// portAllowed keeps the server from being used to try ports of other machines.
func (s *Service) portAllowed(host string, port int) bool {
	if port < 1 || port > math.MaxUint16 {
		return false
	}
	if slices.Contains(s.cfg.Mail.Ports, uint16(port)) {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		return len(s.cfg.Mail.Allow) > 0 // a name in an allowed range, perhaps: the dialer decides
	}
	return s.cfg.Mail.CheckAddrPort(netip.AddrPortFrom(addr, uint16(port))) == nil
}

// show makes the form that may leave the server.
func (s *Service) show(c *comm.ProviderConfig) Provider {
	out := Provider{ProviderConfig: *c, Fields: map[string]any{}}
	adapter, ok := s.adapter(c.Type)
	if !ok {
		return out // a type of a newer version: its fields may be secrets
	}
	if adapter.Open == nil {
		out.Warnings = append(out.Warnings, comm.Warning{Code: comm.WarnCannotSend,
			Text: "This version keeps the configuration and cannot send with " + adapter.Type + " yet: it is left out of the chain."})
	}
	secrets, err := s.OpenSecrets(c)
	out.CallbackURL = provider.CallbackAddress(s.cfg.PublicURL, c, secrets[provider.CallbackToken])
	out.PreviousCallbackEndsAt = comm.LastEnd(provider.ReplacedTokens(c, secrets), s.now())
	for i := range adapter.Fields {
		f := &adapter.Fields[i]
		if f.Secret {
			if secrets[f.Name] != "" || err != nil {
				out.Fields[f.Name] = Masked
			}
			continue
		}
		value, set := c.Settings[f.Name]
		if !set {
			continue
		}
		switch f.Kind {
		case provider.Int:
			n, _ := strconv.Atoi(value) // checked when it was stored
			out.Fields[f.Name] = n
		case provider.Bool:
			out.Fields[f.Name] = value == "true"
		default:
			out.Fields[f.Name] = value
		}
	}
	return out
}
