package upkeep

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// inJSON is a text as it stands inside a stored content.
func inJSON(text string) (string, error) {
	b, err := json.Marshal(text)
	if err != nil {
		return "", err
	}
	return strings.ToLower(string(b[1 : len(b)-1])), nil
}

// rewritten is a content without the address: it is taken out of the copies, the sender and the
// answers' address, and masked wherever else it stands. Changed is false when it is nowhere.
func rewritten(m *store.Mentioned, text string) (x store.Rewriting, changed bool, err error) {
	var c comm.Content
	if err := store.DecodeContent(m.Payload, &c); err != nil {
		return x, false, err
	}
	before := store.ContentTerms(&c)
	key := c.IdempotencyKey
	mask := masker{text: text, mask: address.Mask(text)}
	mask.copies(&c.CC)
	mask.copies(&c.BCC)
	c.From, c.ReplyTo = mask.sender(c.From), mask.sender(c.ReplyTo)
	for _, field := range []*string{&c.Subject, &c.Body, &c.Text} {
		*field = mask.in(*field)
	}
	c.IdempotencyKey = mask.key(c.IdempotencyKey)
	for i, tag := range c.Tags {
		c.Tags[i] = mask.in(tag)
	}
	for name, value := range c.Headers {
		c.Headers[name] = mask.in(value)
	}
	if c.Metadata, err = mask.json(c.Metadata); err != nil {
		return x, false, err
	}
	if !mask.changed {
		return x, false, nil
	}
	x = store.Rewriting{App: m.App, ID: m.ID, Sequence: m.Sequence}
	if x.Payload, err = store.EncodeContent(&c); err != nil {
		return x, false, err
	}
	after := store.ContentTerms(&c)
	x.Drop = without(before, after)
	x.Add = without(after, before)
	if key != c.IdempotencyKey {
		hash := store.KeyHash(key)
		x.KeyHash = hash[:]
	}
	return x, true, nil
}

// told is how the bodies of deliveries read without the address; none where one cannot be read.
func told(text string) func([]byte) ([]byte, bool) {
	return func(body []byte) ([]byte, bool) {
		mask := masker{text: text, mask: address.Mask(text)}
		without, err := mask.json(comm.RawJSON(body))
		if err != nil {
			mask.in(string(body))
			return nil, mask.changed
		}
		return []byte(without), mask.changed
	}
}

// without is what of a is not in b.
func without(a, b []store.Term) (out []store.Term) {
	for _, t := range a {
		if !slices.Contains(b, t) {
			out = append(out, t)
		}
	}
	return out
}

// masker takes one address, in lower case, out of texts.
type masker struct {
	text, mask string
	changed    bool
}

// is says whether a text is the address, and nothing else.
func (m *masker) is(text string) bool { return strings.EqualFold(text, m.text) }

// copies takes the address off a list of them.
func (m *masker) copies(list *[]string) {
	n := len(*list)
	*list = slices.DeleteFunc(*list, m.is)
	m.changed = m.changed || len(*list) < n
}

// sender is a sender or reply address without the address: nothing where it is the one, since nothing is to be sent from a mask or answered
// to one. A message without a sender goes from its configuration's.
func (m *masker) sender(text string) string {
	box, err := address.ParseMailbox(text)
	if err == nil && box.Email.Key == m.text || err != nil && m.is(strings.TrimPrefix(text, "+")) {
		m.changed = true
		return ""
	}
	return m.in(text)
}

// in masks the address in a text, however its letters are written. What is part of a
// longer address or number is another one.
func (m *masker) in(text string) string {
	if strings.Contains(m.text, "@") {
		return m.each(text, func(before, after string) bool { return longerName(before) || longerDomain(m.text, after) })
	}
	return m.each(text, func(before, after string) bool { return longerNumber(before, after) })
}

// key masks the address in an idempotency key. Apps put keys together of parts, so that only a letter or digit beside it makes it another one.
func (m *masker) key(text string) string {
	return m.each(text, func(before, after string) bool { return inWord(before) || after != "" && alphanumeric(after[0]) })
}

// each masks the address wherever it stands, unless what is before and after it makes another one of it.
func (m *masker) each(text string, another func(before, after string) bool) string {
	var b strings.Builder
	from := 0
	for i := 0; i+len(m.text) <= len(text); {
		end := i + len(m.text)
		if !strings.EqualFold(text[i:end], m.text) || another(text[:i], text[end:]) {
			i++
			continue
		}
		b.WriteString(text[from:i])
		b.WriteString(m.mask)
		i, from, m.changed = end, end, true
	}
	if from == 0 {
		return text
	}
	return b.String() + text[from:]
}

// json masks the address in the names, texts and numbers of a JSON value, as they are read and not as
// they are written: what is escaped is met too, and a number that is the address becomes a text.
func (m *masker) json(text comm.RawJSON) (comm.RawJSON, error) {
	if text == "" {
		return text, nil
	}
	before := m.changed
	m.changed = false
	defer func() { m.changed = m.changed || before }()
	var out bytes.Buffer
	err := m.value(jsontext.NewDecoder(strings.NewReader(string(text))), jsontext.NewEncoder(&out))
	if err != nil {
		return text, fmt.Errorf("mask an address in metadata: %w", err)
	}
	if !m.changed {
		return text, nil // digit for digit
	}
	return comm.RawJSON(bytes.TrimSpace(out.Bytes())), nil
}

// value copies the next value. Of members whose names become the same the first stays.
func (m *masker) value(from *jsontext.Decoder, to *jsontext.Encoder) error {
	token, err := from.ReadToken()
	if err != nil {
		return err
	}
	open := token.Kind()
	if err := to.WriteToken(m.token(token)); err != nil || open != '{' && open != '[' {
		return err
	}
	names := map[string]bool{}
	for kind := from.PeekKind(); kind != '}' && kind != ']'; kind = from.PeekKind() {
		if open == '{' {
			name, err := from.ReadToken()
			if err != nil {
				return err
			}
			name = m.token(name)
			text := name.String()
			if names[text] {
				if err := from.SkipValue(); err != nil {
					return err
				}
				continue
			}
			names[text] = true
			if err := to.WriteToken(name); err != nil {
				return err
			}
		}
		if err := m.value(from, to); err != nil {
			return err
		}
	}
	end, err := from.ReadToken()
	if err != nil {
		return err
	}
	return to.WriteToken(end)
}

// token is a token without the address.
func (m *masker) token(t jsontext.Token) jsontext.Token {
	if kind := t.Kind(); kind != '"' && kind != '0' {
		return t
	}
	text := t.String()
	if masked := m.in(text); masked != text {
		return jsontext.String(masked)
	}
	return t
}
