package suppress

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// kept is a list that takes everything.
type kept struct {
	store.Suppressions
	list []store.Suppression
}

func (k *kept) SuppressAll(_ context.Context, list []store.Suppression) (int, error) {
	k.list = append(k.list, list...)
	return len(list), nil
}

// FuzzImport holds that no file stores an address in a form that recipients are not compared
// in, that what is refused has a reason, and that what was stored comes back from an export.
func FuzzImport(f *testing.F) {
	for _, text := range []string{
		"channel,address\nSMS,+233241234567\nEMAIL,Ama@Example.com\n", "channel,address,reason,note\r\nSMS,233241234567,manual,\"a \"\"b\"\"\"\r\n", "address,channel\n=1+1,SMS\n'+233241234567,SMS\n", "channel,address\nSMS,\"2332\nEMAIL,a@b.com\n",
		"\xef\xbb\xbfchannel,address\nEMAIL,a@b.com", "channel\n\n\n", "channel,channel,address\n", "", "\x00", `{"channel":"SMS","address":"+233241234567"}` + "\n" + `{"channel":"EMAIL","address":"*"}`, `{"channel":"EMAIL","address":"a@b.com","note":"x"} {}`, "[]\nnull\n{",
		`{"channel":"EMAIL","address":"\ud800@b.com"}`,
	} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, asCSV bool) {
		format := JSONLines
		if asCSV {
			format = CSV
		}
		k := &kept{}
		s := New(Config{Store: k})
		report, err := s.Import(t.Context(), comm.ID{1}, bytes.NewReader(data), format)
		if e, ok := errors.AsType[*comm.Error](err); err != nil && (!ok || e.Kind != comm.Invalid) {
			t.Fatalf("%v", err)
		}
		if report.Added != len(k.list) || report.Refused > 0 && len(report.Errors) == 0 {
			t.Fatalf("%+v, stored %d", report, len(k.list))
		}
		for _, x := range k.list {
			var normal string
			if x.Channel == comm.SMS {
				normal, err = address.Phones{}.Parse(x.Address)
			} else {
				var email address.Email
				email, err = address.ParseEmail(x.Address)
				normal = email.Key
			}
			if err != nil || normal != x.Address || !utf8.ValidString(x.Note) || strings.ContainsFunc(x.Note, isControl) || len(x.Note) > maxNote {
				t.Fatalf("stored %+v, which is %q: %v", x, normal, err)
			}
		}
		var out bytes.Buffer
		if err := errors.Join(Header(&out, format), Rows(&out, format, k.list)); err != nil {
			t.Fatal(err)
		}
		again := &kept{}
		if _, err := New(Config{Store: again}).Import(t.Context(), comm.ID{1}, &out, format); err != nil || len(again.list) != len(k.list) {
			t.Fatalf("%d came back of %d: %v", len(again.list), len(k.list), err)
		}
		for i := range again.list {
			if was, is := k.list[i], again.list[i]; was.Address != is.Address || was.Note != is.Note || was.Channel != is.Channel || was.Reason != is.Reason {
				t.Fatalf("%+v came back as %+v", was, is)
			}
		}
	})
}
