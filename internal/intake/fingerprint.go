package intake

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// fingerprint is a digest over what a request means, so that the same request
// in another order or spacing, or with the number written +233…, is a replay
// and anything else under the same key a conflict.
//
// It is stored with the idempotency key for as long as the message: members
// may be added (an absent one adds nothing), never renamed or renumbered.
func (p *prepared) fingerprint(q *Request) (out [16]byte) {
	var d digest
	d.text(1, string([]byte{byte(p.sub.Channel)}))
	d.text(2, p.sub.Recipient)
	d.text(3, p.content.Body)
	d.text(4, p.content.Subject)
	d.text(5, p.content.TemplateKey)
	variables := slices.Clone(q.Variables.List)
	slices.SortFunc(variables, func(a, b Variable) int { return strings.Compare(a.Name, b.Name) })
	for _, v := range variables {
		d.text(6, v.Name)
		d.text(7, v.Literal)
	}
	if p.sub.ScheduledAt != 0 {
		d.number(8, int64(p.sub.ScheduledAt))
	}
	d.text(9, p.content.From)
	d.text(10, canonical(q.Metadata.Raw))
	d.number(11, int64(p.sub.Lane))
	d.number(12, p.sub.TTL)
	d.list(13, p.content.Tags)
	d.list(14, p.content.CC)
	d.list(15, p.content.BCC)
	d.text(16, p.content.ReplyTo)
	d.text(17, p.content.Text)
	for _, name := range slices.Sorted(maps.Keys(p.content.Headers)) {
		d.text(18, name)
		d.text(19, p.content.Headers[name])
	}
	for i := range p.sub.Files {
		f := &p.sub.Files[i]
		d.text(20, f.Filename)
		d.text(21, f.ContentType)
		sum := sha256.Sum256(f.Content)
		d.text(22, string(sum[:]))
	}
	sum := sha256.Sum256(d)
	copy(out[:], sum[:])
	return out
}

// canonical writes metadata without insignificant space and with sorted
// members; numbers stay as they are written, digit for digit.
func canonical(raw string) string {
	if raw == "" {
		return ""
	}
	value := jsontext.Value(raw)
	if err := value.Format(jsontext.ReorderRawObjects(true)); err != nil {
		return raw // cannot happen: the text was parsed
	}
	return string(value)
}

// digest collects members as number, length, bytes: no two lists of members read alike.
type digest []byte

func (d *digest) text(member byte, s string) {
	if s == "" {
		return
	}
	*d = append(*d, member)
	*d = binary.AppendUvarint(*d, uint64(len(s)))
	*d = append(*d, s...)
}

func (d *digest) number(member byte, n int64) {
	*d = append(*d, member, 8)
	*d = binary.BigEndian.AppendUint64(*d, uint64(n))
}

func (d *digest) list(member byte, list []string) {
	for _, s := range list {
		d.text(member, s)
	}
}
