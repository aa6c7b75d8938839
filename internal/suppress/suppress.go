// Package suppress keeps the tenants' lists of addresses that must not be written to.
//
// It promises that an address is kept in the form in which recipients are
// compared, so that however it is written it is found, and that nothing is taken
// off unless exactly one address is named. It reads and writes lists of any
// length without holding them in memory.
//
// It does not enforce the lists: the start of an attempt does, in its own
// transaction, so that an address counts from the next attempt on, on every node.
package suppress

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/strictjson"
)

// Config is what a Service needs.
type Config struct {
	Store  store.Suppressions
	Across store.Everywhere // for Find
	Phones address.Phones
	Now    func() time.Time // nil: time.Now
}

// Service changes and reads the lists by the rules. It is safe for concurrent use.
type Service struct {
	cfg Config
	// writing is held by the import that stores a slice, and while the store rests from it.
	writing chan struct{}
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{cfg: cfg, writing: make(chan struct{}, 1)}
}

// Entry is an address as an application names it.
type Entry struct {
	Channel strictjson.Opt[string]      `json:"channel"`
	Address strictjson.Opt[string]      `json:"address"`
	Reason  strictjson.Nullable[string] `json:"reason"` // a word of comm.SuppressionReasons; absent: manual
	Note    strictjson.Nullable[string] `json:"note"`
}

// EntryCodes are the codes of members of an Entry with a wrong type, for strictjson.
func EntryCodes() map[string]string {
	return map[string]string{"channel": "invalid_channel", "address": "invalid_address"}
}

const maxNote = 200

// read makes a suppression of an entry. The error is a *comm.Error.
func (s *Service) read(app comm.ID, e *Entry, source string) (out store.Suppression, err error) {
	ch, ok := comm.ParseChannel(e.Channel.Value)
	if !ok {
		return out, comm.E("invalid_channel").Field("channel", "must be EMAIL or SMS")
	}
	out = store.Suppression{App: app, Channel: ch, Reason: comm.SuppressManual, Source: source, Note: e.Note.Value, CreatedAt: comm.At(s.cfg.Now())}
	if out.Address, err = s.normalise(ch, e.Address.Value, "invalid_address"); err != nil {
		return out, err
	}
	if e.Reason.Given {
		if out.Reason = e.Reason.Value; !IsReason(out.Reason) {
			return out, comm.E("invalid_field").Field("reason", ReasonRule())
		}
	}
	if len(out.Note) > maxNote || !utf8.ValidString(out.Note) || strings.ContainsFunc(out.Note, isControl) {
		return out, comm.E("invalid_field").Field("note", "must be at most 200 bytes without control characters")
	}
	return out, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7F }

// IsReason says whether the word is a reason of a suppression.
func IsReason(word string) bool {
	for _, w := range comm.SuppressionReasons() {
		if w.Code == word {
			return true
		}
	}
	return false
}

// ReasonRule says which reasons there are.
func ReasonRule() string {
	var words []string
	for _, w := range comm.SuppressionReasons() {
		words = append(words, w.Code)
	}
	return "must be one of " + strings.Join(words, ", ") + "; say more in note"
}

// normalise brings an address to the form in which recipients are compared.
func (s *Service) normalise(ch comm.Channel, text, code string) (string, error) {
	if strings.TrimSpace(text) == "" {
		return "", comm.E(code).Field("address", "is empty: give one address")
	}
	var err error
	if ch == comm.SMS {
		var digits string
		if digits, err = s.cfg.Phones.Parse(text); err == nil {
			return digits, nil
		}
	} else {
		var email address.Email
		if email, err = address.ParseEmail(text); err == nil && strings.HasPrefix(email.Key, "*@") {
			// It could be an address, and never is: whoever writes it means a whole domain.
			return "", comm.E(code).Field("address", "is one address, without wildcards")
		}
		if err == nil {
			return email.Key, nil
		}
	}
	if refused, ok := errors.AsType[*address.Error](err); ok {
		return "", comm.E(code).Field("address", refused.Reason)
	}
	return "", comm.E("internal").Because(err)
}

// Add puts an address on the app's list and answers what the list has of it now;
// added is false when it was there, which stays as it is.
func (s *Service) Add(ctx context.Context, app comm.ID, e Entry) (entry *store.Suppression, added bool, err error) {
	x, err := s.read(app, &e, comm.SuppressByAPI)
	if err != nil {
		return nil, false, err
	}
	if added, err = s.cfg.Store.Suppress(ctx, x); err != nil || added {
		return &x, added, err
	}
	entry, err = s.cfg.Store.Suppression(ctx, app, x.Channel, x.Address)
	if comm.IsKind(err, comm.Missing) { // it was taken off between the two
		added, err = s.cfg.Store.Suppress(ctx, x)
		return &x, added, err
	}
	return entry, false, err
}

// Remove takes one address off the app's list; not_found when it is not there,
// invalid_query when it is not exactly one that is named.
func (s *Service) Remove(ctx context.Context, app comm.ID, channel, address string) error {
	ch, ok := comm.ParseChannel(channel)
	if !ok {
		return comm.E("invalid_query", "Name the one address to take off: ?channel=EMAIL or SMS, and address.").Field("channel", "must be EMAIL or SMS")
	}
	address, err := s.Address(ch, address)
	if err != nil {
		return err
	}
	removed, err := s.cfg.Store.Unsuppress(ctx, app, ch, address)
	if err == nil && !removed {
		err = comm.E("not_found", "This address is not on the app's list.")
	}
	return err
}

// Address normalises an address of a query, whose + may not have been escaped. Without
// a channel, what holds an @ is an email address. The error is invalid_query.
func (s *Service) Address(ch comm.Channel, text string) (string, error) {
	if ch == 0 {
		ch = comm.SMS
		if strings.Contains(text, "@") {
			ch = comm.Email
		}
	}
	if rest, ok := strings.CutPrefix(text, " "); ok && ch == comm.SMS {
		text = "+" + rest
	}
	return s.normalise(ch, text, "invalid_query")
}

// Named normalises the address of a person: without a channel, what holds an @ is an email
// address. The error has the code invalid_channel, or the one given.
func (s *Service) Named(channel, text, code string) (comm.Channel, string, error) {
	ch, ok := comm.ParseChannel(channel)
	switch {
	case channel == "" && strings.Contains(text, "@"):
		ch = comm.Email
	case channel == "":
		ch = comm.SMS
	case !ok:
		return 0, "", comm.E("invalid_channel").Field("channel", "must be EMAIL or SMS")
	}
	key, err := s.normalise(ch, text, code)
	return ch, key, err
}

// List reads a page of the app's list, newest first. With an address it is that one, if it passes the filter.
func (s *Service) List(ctx context.Context, app comm.ID, f store.SuppressionFilter, address string) ([]store.Suppression, error) {
	if address == "" {
		return s.cfg.Store.SuppressionList(ctx, app, f)
	}
	address, err := s.Address(f.Channel, address)
	if err != nil {
		return nil, err
	}
	ch := comm.SMS
	if strings.Contains(address, "@") {
		ch = comm.Email
	}
	x, err := s.cfg.Store.Suppression(ctx, app, ch, address)
	if comm.IsKind(err, comm.Missing) {
		return nil, nil
	}
	if err != nil || !passes(x, f) {
		return nil, err
	}
	return []store.Suppression{*x}, nil
}

// Find lists which apps have an address on their list, one row more than limit if there
// are more; after is the last one of the page before, or nil.
func (s *Service) Find(ctx context.Context, ch comm.Channel, address string, after *store.Suppression, limit int) ([]store.Suppression, error) {
	address, err := s.Address(ch, address)
	if err != nil {
		return nil, err
	}
	return s.cfg.Across.SuppressedBy(ctx, address, ch, after, limit+1)
}

// passes says whether a list with this filter has x, on its first page.
func passes(x *store.Suppression, f store.SuppressionFilter) bool {
	return f.Before == nil && (f.Reason == "" || f.Reason == x.Reason) &&
		(f.CreatedAfter == 0 || x.CreatedAt.Millis() > f.CreatedAfter.Millis()) &&
		(f.CreatedBefore == 0 || x.CreatedAt.Millis() <= (f.CreatedBefore-1).Millis())
}
