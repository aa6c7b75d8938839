package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
)

func importSuppressionsCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "import FILE", Short: "Put the addresses of a CSV or JSON lines file on the list", Args: cobra.ExactArgs(1),
		Long: "Sends a file as it is: CSV with a heading, or JSON lines when its name ends in .jsonl or .ndjson or --format says so; - is standard input.\n" +
			"A line that is wrong is told with its number and keeps no other from being stored; the exit code is then 4. Repeating an import is safe.",
		Example: "  commserver suppression import opt-outs.csv\n  zcat opt-outs.jsonl.gz | commserver suppression import - --format jsonl"}
	cmd.Flags().String("format", "", "csv or jsonl; default: by the name of the file")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		kind, err := importType(flagText(cmd, "format"), args[0])
		if err != nil {
			return err
		}
		in, size := s.In, int64(-1)
		if args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return usagef("%w", err)
			}
			defer func() { _ = f.Close() }() // only read
			if info, err := f.Stat(); err == nil {
				size = info.Size()
			}
			in = f
		}
		if r.term.Err && !r.out.quiet {
			bar := progressbar.NewOptions64(size, progressbar.OptionSetWriter(s.Err), progressbar.OptionSetDescription("sent to the server"), progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish())
			defer func() { _ = bar.Finish() }() // only drawing
			in = io.TeeReader(in, bar)
		}
		raw, err := r.call(ctx, client.Request{Method: http.MethodPost, Path: suppressionPath + "/import", Upload: in, ContentType: kind})
		if err != nil {
			return r.importEnded(err)
		}
		return r.imported(raw)
	})
	return cmd
}

func importType(format, path string) (string, error) {
	switch {
	case format == "csv":
		return "text/csv", nil
	case format == "jsonl", format == "" && (strings.HasSuffix(path, ".jsonl") || strings.HasSuffix(path, ".ndjson")):
		return "application/x-ndjson", nil
	case format == "":
		return "text/csv", nil
	}
	return "", wrongFormat()
}

func wrongFormat() error { return usagef("--format must be csv or jsonl") }

// importReport is what became of an import, as its answer has it, or the details of its refusal.
type importReport struct {
	Added   *int `json:"added"`
	Present int  `json:"present"`
	Refused int  `json:"refused"`
	Errors  []struct {
		Line    int    `json:"line"`
		Error   string `json:"error"`
		Details struct {
			Code   string            `json:"code"`
			Fields map[string]string `json:"fields"`
		} `json:"details"`
	} `json:"errors"`
	ErrorsOmitted int `json:"errorsOmitted"`
}

// imported prints the counts of an import that went to its end. A line that was refused is
// an address that may still be written to: a script must see that.
func (r *remote) imported(raw json.RawMessage) error {
	var report importReport
	if err := json.Unmarshal(raw, &report); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	r.refusedLines(&report)
	if err := r.out.one(raw, "added", []column{{"Added", "added", plain}, {"There already", "present", plain}, {"Refused", "refused", plain}}); err != nil {
		return err
	}
	if report.Refused > 0 {
		return codedError{fmt.Errorf("%d lines were refused; mend them and import the file again", report.Refused), exitRefused}
	}
	return nil
}

// refusedLines tells the lines that were refused, with their numbers.
func (r *remote) refusedLines(report *importReport) {
	for _, one := range report.Errors {
		text := []string{one.Error}
		for _, path := range sortedNames(one.Details.Fields) {
			if why := one.Details.Fields[path]; !strings.Contains(one.Error, why) {
				text = append(text, path+": "+why+".")
			}
		}
		r.note("line %d: %s (%s)", one.Line, clean(strings.Join(text, " ")), clean(one.Details.Code))
	}
	if report.ErrorsOmitted > 0 {
		r.note("and %d lines more", report.ErrorsOmitted)
	}
}

// importEnded tells what an import had stored when it ended early, and answers its error.
func (r *remote) importEnded(err error) error {
	refused, ok := errors.AsType[*client.Error](err)
	if !ok {
		return err
	}
	text, encodeErr := json.Marshal(refused.Details)
	var report importReport
	if encodeErr != nil || json.Unmarshal(text, &report) != nil || report.Added == nil {
		return err
	}
	r.refusedLines(&report)
	if *report.Added+report.Present+report.Refused > 0 {
		r.note("Before it ended %d were added, %d were there already, %d lines were refused.", *report.Added, report.Present, report.Refused)
	}
	return err
}
