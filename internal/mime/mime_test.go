package mime_test

import (
	"bytes"
	"errors"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/mime"
	"github.com/commserver/commserver/internal/mime/mimetest"
	"pgregory.net/rapid"
)

func sample() mime.Message {
	return mime.Message{
		ID:      "c0mzz8h2k1234567890abcdef@example.com",
		Date:    time.Date(2026, 7, 3, 10, 0, 0, 0, time.UTC),
		From:    mime.Address{Name: "Shop", Addr: "no-reply@example.com"},
		To:      []mime.Address{{Addr: "ama@example.com"}},
		Subject: "Request approved",
		HTML:    "<p>Hello</p>",
	}
}

func written(m mime.Mail) []byte {
	var out bytes.Buffer
	_, _ = m.WriteTo(&out) // a bytes.Buffer does not fail
	return out.Bytes()
}

// compose writes m, checks what holds for every mail, and reads it back.
func compose(t interface{ Fatalf(string, ...any) }, m mime.Message) ([]byte, *mimetest.Mail) {
	out, err := mime.Compose(nil, &m)
	if err != nil {
		t.Fatalf("Compose: %v", err)
	}
	raw := written(out)
	if int64(len(raw)) != out.Size() {
		t.Fatalf("Size says %d, written were %d", out.Size(), len(raw))
	}
	if err := mimetest.Strict(raw); err != nil {
		t.Fatalf("%v in\n%s", err, raw)
	}
	read, err := mimetest.Read(raw)
	if err != nil {
		t.Fatalf("read back: %v\n%s", err, raw)
	}
	return raw, read
}

func TestComposeExact(t *testing.T) {
	t.Parallel()
	m := sample()
	raw, _ := compose(t, m)
	want := strings.ReplaceAll(`Date: Fri, 03 Jul 2026 10:00:00 +0000
Message-ID: <c0mzz8h2k1234567890abcdef@example.com>
From: Shop <no-reply@example.com>
To: ama@example.com
Subject: Request approved
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="=_c0mzz8h2k1234567890abcdef.alt"

--=_c0mzz8h2k1234567890abcdef.alt
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit

Hello
--=_c0mzz8h2k1234567890abcdef.alt
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 7bit

<p>Hello</p>
--=_c0mzz8h2k1234567890abcdef.alt--
`, "\n", "\r\n")
	if string(raw) != want {
		t.Errorf("got\n%s\nwant\n%s", raw, want)
	}
	again, err := mime.Compose(make([]byte, 7, 9000), &m)
	if err != nil || !bytes.Equal(written(again), raw) {
		t.Errorf("a second composition differs (%v)", err)
	}
}

func TestComposeStructure(t *testing.T) {
	t.Parallel()
	file := mime.File{Name: "a.pdf", ContentType: "application/pdf", Content: []byte("%PDF")}
	for _, c := range []struct {
		name string
		edit func(*mime.Message)
		want string
	}{
		{"html alone gets a text part first", func(*mime.Message) {}, "multipart/alternative text/plain text/html"},
		{"text alone", func(m *mime.Message) { m.HTML, m.Text = "", "hi" }, "text/plain"},
		{"files nest the alternative", func(m *mime.Message) { m.Files = []mime.File{file, file} },
			"multipart/mixed multipart/alternative text/plain text/html application/pdf application/pdf"},
		{"text and files", func(m *mime.Message) { m.HTML, m.Text, m.Files = "", "hi", []mime.File{file} },
			"multipart/mixed text/plain application/pdf"},
		{"a type that may not be base64 goes as octets", func(m *mime.Message) {
			m.Files = []mime.File{{Name: "m.eml", ContentType: "message/rfc822", Content: []byte("Subject: x\r\n\r\n")}}
		}, "multipart/mixed multipart/alternative text/plain text/html application/octet-stream"},
		{"a type that injects goes as octets", func(m *mime.Message) {
			m.Files = []mime.File{{Name: "x", ContentType: "text/plain\r\nBcc: x@y.z", Content: []byte("x")}}
		}, "multipart/mixed multipart/alternative text/plain text/html application/octet-stream"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := sample()
			c.edit(&m)
			_, read := compose(t, m)
			if got := strings.Join(read.Kinds, " "); got != c.want {
				t.Errorf("entities %q, want %q", got, c.want)
			}
		})
	}
}

func TestBodiesComeBack(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"dots":               ".\n..\n\n.\n.x\n...",
		"bare CR and LF":     "a\rb\nc\r\nd\r\r\n\n\re",
		"2,000 characters":   strings.Repeat("x", 2000) + "\n" + strings.Repeat("word ", 400),
		"space at line end":  "a \nb\t\n c",
		"from at the start":  "From here\nnot From there\nFrom ",
		"boundary inside":    "--=_c0mzz8h2k1234567890abcdef.alt\nx\n--=_c0mzz8h2k1234567890abcdef.alt--\n",
		"accents":            "Déjà vu. Ɛyɛ. " + strings.Repeat("Akwaaba ", 30),
		"another script":     strings.Repeat("日本語のメール。", 40),
		"emoji, bidi, marks": "😀\u200f\u202e" + strings.Repeat("e\u0301", 1000),
		"NUL and controls":   "a\x00b\x1bc\x7f",
		"line separators":    "a\u2028b\u2029c\u0085d",
		"ends with line end": "a\n\n",
		"equals signs":       strings.Repeat("a=b&c=3D ", 40),
		"one space":          " ",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := sample()
			m.HTML, m.Text = "<pre>"+body, body
			_, read := compose(t, m)
			if want := mimetest.Canonical(m.HTML); read.HTML != want {
				t.Errorf("html %q, want %q", read.HTML, want)
			}
			if want := mimetest.Canonical(body); read.Text != want {
				t.Errorf("text %q, want %q", read.Text, want)
			}
		})
	}
}

func TestHeadersComeBack(t *testing.T) {
	t.Parallel()
	for name, subject := range map[string]string{
		"ascii":           "Your order 4711",
		"long":            strings.TrimSpace(strings.Repeat("all about it ", 70)),
		"runs of spaces":  "a" + strings.Repeat("  bcdefgh", 40),
		"one long word":   strings.Repeat("x", 1500),
		"accents":         "Réponse à votre demande nº 42 – approuvée, " + strings.Repeat("été ", 30),
		"another script":  strings.Repeat("確認", 100),
		"emoji":           "😀 Party 🎉 " + strings.Repeat("👩‍👩‍👧", 20),
		"looks encoded":   "=?UTF-8?Q?no?=",
		"edges":           " spaced ",
		"tab and control": "a\tb\x1b",
		"line separator":  "a\u2028b",
		"empty":           "",
		"question_mark":   "¿Qué? = _ ?",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := sample()
			m.Subject = subject
			m.Headers = map[string]string{"X-Note": subject}
			raw, read := compose(t, m)
			if got := read.Decoded("Subject"); got != subject {
				t.Errorf("subject %q, want %q\n%s", got, subject, raw)
			}
			if got := read.Decoded("X-Note"); got != subject {
				t.Errorf("header %q, want %q", got, subject)
			}
		})
	}
}

func TestAddressesComeBack(t *testing.T) {
	t.Parallel()
	m := sample()
	for _, name := range []string{
		"", "Ama", "Ama Mensah", "Mensah, Ama", `Ama "the" \ boss`, "Kofi Ånnan", strings.Repeat("名", 60),
		"=?UTF-8?Q?x?=", " edge ", "a.b (c) <d@e>", strings.Repeat("long name ", 20) + "x",
	} {
		m.CC = append(m.CC, mime.Address{Name: name, Addr: "cc@example.com"})
	}
	m.From, m.ReplyTo = mime.Address{Name: "Großhandel \"Süd\"", Addr: "a@example.com"}, []mime.Address{{Addr: "r@example.com"}}
	raw, read := compose(t, m)
	got, err := mail.ParseAddressList(read.Header.Get("Cc"))
	if err != nil || len(got) != len(m.CC) {
		t.Fatalf("cc: %d addresses, %v\n%s", len(got), err, raw)
	}
	for i, a := range got {
		if a.Name != m.CC[i].Name || a.Address != m.CC[i].Addr {
			t.Errorf("cc %d: %q <%s>, want %q", i, a.Name, a.Address, m.CC[i].Name)
		}
	}
	from, err := mail.ParseAddress(read.Header.Get("From"))
	if err != nil || from.Name != m.From.Name {
		t.Errorf("from %+v %v", from, err)
	}
	if strings.Contains(strings.ToLower(string(raw)), "bcc") {
		t.Error("a Bcc header was written")
	}
}

func TestFileNamesComeBack(t *testing.T) {
	t.Parallel()
	m := sample()
	names := []string{"a.pdf", "résumé 2026.pdf", "日本語.txt", `we"ird\name;x=1.txt`, strings.Repeat("ü", 120) + ".pdf", "a b.txt", "100%.txt"}
	content := bytes.Repeat([]byte{0, 1, 2, '\r', '\n', '.', 0xFF}, 5000)
	for i, n := range names {
		m.Files = append(m.Files, mime.File{Name: n, ContentType: "text/csv; charset=\"utf-8\"; header=present", Content: content[:i*4000]})
	}
	_, read := compose(t, m)
	if len(read.Files) != len(names) {
		t.Fatalf("%d files, want %d", len(read.Files), len(names))
	}
	for i, f := range read.Files {
		if f.Name != names[i] || !bytes.Equal(f.Content, m.Files[i].Content) {
			t.Errorf("file %d: name %q, %d octets; want %q, %d", i, f.Name, len(f.Content), names[i], len(m.Files[i].Content))
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, field string
		edit        func(*mime.Message)
	}{
		{"subject with CRLF", "subject", func(m *mime.Message) { m.Subject = "Hi\r\nBcc: x@y.z" }},
		{"subject with LF", "subject", func(m *mime.Message) { m.Subject = "Hi\nx" }},
		{"subject with NUL", "subject", func(m *mime.Message) { m.Subject = "Hi\x00" }},
		{"name with CR", "from", func(m *mime.Message) { m.From.Name = "a\rb" }},
		{"address with a space", "to", func(m *mime.Message) { m.To[0].Addr = "a b@example.com" }},
		{"address with brackets", "cc", func(m *mime.Message) { m.CC = []mime.Address{{Addr: "a@b>,<c@d"}} }},
		{"address not ASCII", "to", func(m *mime.Message) { m.To[0].Addr = "é@example.com" }},
		{"header value with LF", "headers", func(m *mime.Message) { m.Headers = map[string]string{"X-A": "b\nBcc: c@d.e"} }},
		{"header name with colon", "headers", func(m *mime.Message) { m.Headers = map[string]string{"X:A": "b"} }},
		{"reserved header", "headers", func(m *mime.Message) { m.Headers = map[string]string{"bCC": "c@d.e"} }},
		{"content header", "headers", func(m *mime.Message) { m.Headers = map[string]string{"Content-Type": "text/plain"} }},
		{"resent header", "headers", func(m *mime.Message) { m.Headers = map[string]string{"Resent-To": "c@d.e"} }},
		{"file name with LF", "attachments[0].filename", func(m *mime.Message) { m.Files = []mime.File{{Name: "a\nb"}} }},
		{"file name too long", "attachments[0].filename", func(m *mime.Message) { m.Files = []mime.File{{Name: strings.Repeat("a", 256)}} }},
		{"id with brackets", "id", func(m *mime.Message) { m.ID = "a>@b" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := sample()
			c.edit(&m)
			_, err := mime.Compose(nil, &m)
			var bad *mime.Error
			if !errors.As(err, &bad) || bad.Field != c.field {
				t.Errorf("got %v, want a fault in %s", err, c.field)
			}
		})
	}
}

func TestListHeadersStayOnOneLine(t *testing.T) {
	t.Parallel()
	m := sample()
	value := "<https://gw.example/u/" + strings.Repeat("t", 200) + ">, <mailto:leave@gw.example>"
	m.Headers = map[string]string{"List-Unsubscribe": value}
	raw, _ := compose(t, m)
	if !strings.Contains(string(raw), "List-Unsubscribe: "+value+"\r\n") {
		t.Errorf("folded:\n%s", raw)
	}
}

// TestAnything sends random text through every field: it must come back, and
// no line or header may appear that was not asked for.
func TestAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SampledFrom([]string{"\r", "\n", "\r\n", ".", " ", "\t", "From ", "--=_", "=", "é", "😀", "\x00", "word", strings.Repeat("y", 90), "<br>", "&amp;"})
		text := strings.Join(rapid.SliceOfN(piece, 0, 60).Draw(t, "text"), "") + rapid.String().Draw(t, "tail")
		text = strings.ToValidUTF8(text, "?")
		m := sample()
		m.HTML, m.Text = "<"+text, "t"+text
		m.Subject = strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(text)
		m.Files = []mime.File{{Name: "f", ContentType: "a/b", Content: []byte(text)}}
		raw, read := compose(t, m)
		if read.HTML != mimetest.Canonical(m.HTML) || read.Text != mimetest.Canonical(m.Text) {
			t.Fatalf("bodies differ:\n%s", raw)
		}
		if got := read.Decoded("Subject"); got != m.Subject {
			t.Fatalf("subject %q, want %q", got, m.Subject)
		}
		if string(read.Files[0].Content) != text || len(read.Header) != 7 {
			t.Fatalf("file or headers differ: %v", read.Header)
		}
		mime.TextOf(text)
	})
}
