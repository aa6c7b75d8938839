package upkeep

import (
	"fmt"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func TestAddressesAreMaskedInTexts(t *testing.T) {
	t.Parallel()
	const ama, number = "ama@example.org", "233241234567"
	for _, x := range []struct{ address, text, want string }{
		{ama, "", ""},
		{ama, "ama@example.org", "<>"},
		{ama, "Write to AMA@Example.ORG!", "Write to <>!"},
		{ama, "ama@example.org,ama@example.org", "<>,<>"},
		{ama, "<a href=\"mailto:ama@example.org?x=1\">", "<a href=\"mailto:<>?x=1\">"},
		{ama, "ama@example.com", "ama@example.com"},

		// What is before it makes it another person's.
		{ama, "yama@example.org", "yama@example.org"},
		{ama, "1ama@example.org", "1ama@example.org"},
		{ama, "a.ama@example.org", "a.ama@example.org"},
		{ama, "order-ama@example.org", "order-ama@example.org"},
		{ama, "x__ama@example.org", "x__ama@example.org"},
		{ama, "x_-ama@example.org", "x_-ama@example.org"},
		{ama, "ŋama@example.org", "ŋama@example.org"},
		{ama, "e\u0301ama@example.org", "e\u0301ama@example.org"},
		{ama, "ę-ama@example.org", "ę-ama@example.org"},
		{ama, "%41ama@example.org", "%41ama@example.org"},

		// It does not.
		{ama, "“ama@example.org”", "“<>”"},
		{ama, "l’ama@example.org’", "l’<>’"},
		{ama, "–ama@example.org–", "–<>–"},
		{ama, "…ama@example.org…", "…<>…"},
		{ama, "...ama@example.org...", "...<>..."},
		{ama, "wait...ama@example.org", "wait...<>"},
		{ama, ".ama@example.org", ".<>"},
		{ama, "-ama@example.org", "-<>"},
		{ama, "--ama@example.org--", "--<>--"},
		{ama, "_ama@example.org_", "_<>_"},
		{ama, "**__ama@example.org__**", "**__<>__**"},
		{ama, "to\u00a0ama@example.org\u00a0now", "to\u00a0<>\u00a0now"},
		{ama, "\ufeffama@example.org\ufeff", "\ufeff<>\ufeff"},
		{ama, "x\u200bama@example.org\u200bx", "x\u200b<>\u200bx"},
		{ama, "\u200d\u00adama@example.org", "\u200d\u00ad<>"},
		{ama, "✉\ufe0fama@example.org", "✉\ufe0f<>"},
		{ama, "連絡先ama@example.orgまで", "連絡先<>まで"},
		{ama, "почтаama@example.org", "почта<>"},
		{ama, "%20ama@example.org%20", "%20<>%20"},
		{ama, "%3Cama@example.org%3E", "%3C<>%3E"},
		{ama, "100%ama@example.org", "100%<>"},
		{ama, "x\xffama@example.org\xff", "x\xff<>\xff"},

		// What is behind it makes it another domain's.
		{ama, "ama@example.org.uk", "ama@example.org.uk"},
		{ama, "ama@example.org.evil.", "ama@example.org.evil."},
		{ama, "ama@example.org.uk-1", "ama@example.org.uk-1"},
		{ama, "ama@example.org.uk...", "ama@example.org.uk..."},
		{ama, "ama@example.organic", "ama@example.organic"},
		{ama, "ama@example.org-x.example.com", "ama@example.org-x.example.com"},
		{ama, "ama@example.org1.com", "ama@example.org1.com"},
		{ama, "ama@example.org.xn--p1ai", "ama@example.org.xn--p1ai"},

		// It does not.
		{ama, "See ama@example.org.", "See <>."},
		{ama, "ama@example.org-", "<>-"},
		{ama, "ama@example.org-1", "<>-1"},
		{ama, "ama@example.org-Bob", "<>-Bob"},
		{ama, "ama@example.org1", "<>1"},
		{ama, "ama@example.org.1", "<>.1"},
		{ama, "ama@example.org.v2", "<>.v2"},
		{ama, "ama@example.org..com", "<>..com"},
		{ama, "ama@example.org.-com", "<>.-com"},
		{ama, "ama@example.org-.com", "<>-.com"},
		{ama, "ama@example.org_1", "<>_1"},
		{ama, "ama@example.orgé", "<>é"},

		{number, "Call +233241234567, not 2332412345678 or 1233241234567.", "Call +<>, not 2332412345678 or 1233241234567."},
		{number, "x233241234567 233241234567x", "x233241234567 233241234567x"},
		{number, "0.233241234567 233241234567.5", "0.233241234567 233241234567.5"},
		{number, "“233241234567” –233241234567… .233241234567. 番号233241234567番", "“<>” –<>… .<>. 番号<>番"},
		{number, "%2B233241234567 _233241234567_ order-233241234567-1", "%2B<> _<>_ order-<>-1"},
	} {
		m := masker{text: x.address, mask: "<>"}
		if got := m.in(x.text); got != x.want || m.changed != (got != x.text) {
			t.Errorf("%q became %q, want %q; changed %v", x.text, got, x.want, m.changed)
		}
	}
}

// TestAddressesAreMaskedInKeys: a key is put together of parts, so that what stands between two of them is no part of an address.
func TestAddressesAreMaskedInKeys(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"order-ama@example.org-1":     "order-<>-1",
		"welcome_AMA@example.org_3":   "welcome_<>_3",
		"x.ama@example.org.welcome":   "x.<>.welcome",
		"7:ama@example.org/é":         "7:<>/é",
		"yama@example.org-1":          "yama@example.org-1",
		"order-ama@example.organic-1": "order-ama@example.organic-1",
	} {
		m := masker{text: "ama@example.org", mask: "<>"}
		if got := m.key(key); got != want || m.changed != (got != key) {
			t.Errorf("%q became %q, want %q; changed %v", key, got, want, m.changed)
		}
	}
}

func TestContentsAreRewritten(t *testing.T) {
	t.Parallel()
	c := comm.Content{To: "kofi@example.org", Body: "of Ama@example.org", CC: []string{"AMA@example.org", "esi@example.org"}, BCC: []string{"ama@example.org"}, ReplyTo: "ama@example.org",
		Headers: map[string]string{"X-For": "ama@example.org"}, Tags: []string{"x", "for:ama@example.org"}, Metadata: `{"a":"ama@example.org","n":1}`, TemplateKey: "t", IdempotencyKey: "ama@example.org/1"}
	payload, err := store.EncodeContent(&c)
	if err != nil {
		t.Fatal(err)
	}
	x, changed, err := rewritten(&store.Mentioned{Sequence: 7, Payload: payload}, "ama@example.org")
	if err != nil || !changed || x.Sequence != 7 {
		t.Fatalf("%+v %v %v", x, changed, err)
	}
	var got comm.Content
	if err := store.DecodeContent(x.Payload, &got); err != nil {
		t.Fatal(err)
	}
	want := comm.Content{To: "kofi@example.org", Body: "of a***@example.org", CC: []string{"esi@example.org"}, Headers: map[string]string{"X-For": "a***@example.org"},
		Tags: []string{"x", "for:a***@example.org"}, Metadata: `{"a":"a***@example.org","n":1}`, TemplateKey: "t", IdempotencyKey: "a***@example.org/1"}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("\n%+v\n%+v", got, want)
	}
	hash := store.KeyHash("ama@example.org/1")
	if string(x.KeyHash) != string(hash[:]) || len(x.Drop) != 1 || x.Drop[0].Value != "for:ama@example.org" || len(x.Add) != 1 || x.Add[0].Value != "for:a***@example.org" {
		t.Errorf("%+v", x)
	}
	if _, changed, err := rewritten(&store.Mentioned{Payload: x.Payload}, "ama@example.org"); changed || err != nil {
		t.Errorf("again: %v %v", changed, err)
	}
}

// TestSendersAreRemoved: nobody is to write to a mask, and no mail goes out from one.
func TestSendersAreRemoved(t *testing.T) {
	t.Parallel()
	const ama, number = "ama@example.org", "233241234567"
	for _, x := range []struct{ address, sender, want string }{
		{ama, "ama@example.org", ""},
		{ama, "AMA@example.org", ""},
		{ama, "Ama Mensah <Ama@example.org>", ""},
		{ama, `"ama@example.org" <ama@example.org>`, ""},
		{ama, `"ama@example.org" <shop@example.org>`, `"a***@example.org" <shop@example.org>`},
		{ama, "Ama <yama@example.org>", "Ama <yama@example.org>"},
		{ama, "", ""},
		{number, number, ""},
		{number, "+" + number, ""},
		{number, "SHOP", "SHOP"},
	} {
		payload, err := store.EncodeContent(&comm.Content{To: "kofi@example.org", Subject: x.address, From: x.sender, ReplyTo: x.sender})
		if err != nil {
			t.Fatal(err)
		}
		r, changed, err := rewritten(&store.Mentioned{Payload: payload}, x.address)
		if err != nil || !changed {
			t.Fatalf("%+v: %v %v", x, changed, err)
		}
		var got comm.Content
		if err := store.DecodeContent(r.Payload, &got); err != nil || got.From != x.want || got.ReplyTo != x.want {
			t.Errorf("%q became %q and %q, want %q; %v", x.sender, got.From, got.ReplyTo, x.want, err)
		}
	}
	for _, c := range []comm.Content{{From: "Ama <ama@example.org>"}, {ReplyTo: "Ama <ama@example.org>"}} {
		payload, err := store.EncodeContent(&c)
		if err != nil {
			t.Fatal(err)
		}
		if _, changed, err := rewritten(&store.Mentioned{Payload: payload}, ama); err != nil || !changed {
			t.Errorf("%+v: %v %v", c, changed, err)
		}
	}
}

// TestAddressesAreMaskedInMetadata: as whoever reads it sees them, however they are written, and what is left can still be read.
func TestAddressesAreMaskedInMetadata(t *testing.T) {
	t.Parallel()
	const email, number = "a&b@example.org", "233241234567"
	for _, x := range []struct{ address, metadata, want string }{
		{number, `{"phone":233241234567,"n":1.50}`, `{"phone":"23324***4567","n":1.50}`},
		{number, `[233241234567.5,1233241234567,-1e3]`, `[233241234567.5,1233241234567,-1e3]`},
		{number, `{"note":"call\t233241234567\nat noon"}`, `{"note":"call\t23324***4567\nat noon"}`},
		{email, `{"note":"to:\na\u0026b@example.org"}`, `{"note":"to:\na***@example.org"}`},
		{email, `{"a&b@example.org":1,"A&B@example.org":{"x":[2]},"last":true}`, `{"a***@example.org":1,"last":true}`},
		{email, `{"deep":[{"x":"A&b@EXAMPLE.org"},null]}`, `{"deep":[{"x":"a***@example.org"},null]}`},
	} {
		payload, err := store.EncodeContent(&comm.Content{To: "kofi@example.org", Body: "Ask " + x.address, Metadata: comm.RawJSON(x.metadata)})
		if err != nil {
			t.Fatal(err)
		}
		r, changed, err := rewritten(&store.Mentioned{Payload: payload}, x.address)
		if err != nil || !changed {
			t.Errorf("%s: %v %v", x.metadata, changed, err)
			continue
		}
		var got comm.Content
		if err := store.DecodeContent(r.Payload, &got); err != nil || strings.Contains(got.Body, x.address) || string(got.Metadata) != x.want {
			t.Errorf("%s became %s, want %s; body %q, %v", x.metadata, got.Metadata, x.want, got.Body, err)
		}
	}
}
