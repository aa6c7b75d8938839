package intake

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/render"
	"github.com/commserver/commserver/internal/store"
)

const tagRule = "must be 1 to 64 bytes without control characters and without spaces at its ends"

func validTag(tag string) bool {
	return tag != "" && len(tag) <= maxTag && strings.TrimSpace(tag) == tag && comm.ControlAt(tag, "") < 0
}

// Recipient is what a message to this address is found by: the address as Accept
// normalises it. Without a channel, what holds an @ is an email address. The
// error is invalid_query and names to.
func (s *Service) Recipient(ch comm.Channel, to string) (string, error) {
	if ch == comm.SMS || ch == 0 && !strings.Contains(to, "@") {
		if rest, ok := strings.CutPrefix(to, " "); ok {
			to = "+" + rest // a + that was not escaped
		}
		digits, err := s.cfg.Phones.Parse(to)
		if err != nil {
			return "", notSearched("to", err)
		}
		return digits, nil
	}
	email, err := address.ParseEmail(to)
	if err != nil {
		return "", notSearched("to", err)
	}
	return email.Key, nil
}

// TagTerm is the term of a tag; what Accept would not store is refused as invalid_query.
func TagTerm(tag string) (store.Term, error) {
	if !validTag(tag) || !utf8.ValidString(tag) {
		return store.Term{}, comm.E("invalid_query").Field("tag", tagRule)
	}
	return store.Term{Kind: store.TagTerm, Value: tag}, nil
}

// TemplateTerm is the term of a template's key; what Accept would not store is refused as invalid_query.
func TemplateTerm(key string) (store.Term, error) {
	if !render.Key(key) {
		return store.Term{}, comm.E("invalid_query").Field("templateKey", render.KeyRule)
	}
	return store.Term{Kind: store.TemplateTerm, Value: key}, nil
}

// notSearched turns a refusal of package address into one of a query.
func notSearched(field string, err error) error {
	if refused, ok := errors.AsType[*address.Error](err); ok {
		return comm.E("invalid_query").Field(field, refused.Reason)
	}
	return comm.E("internal").Because(err)
}
