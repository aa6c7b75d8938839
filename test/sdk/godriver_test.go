package sdk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
)

// driveGo is the driver of the Go client: steps as JSON lines in, an answer to each out. See sdk/README.md.
func driveGo(in io.Reader, out io.Writer) {
	lines := bufio.NewReader(in)
	answers := json.NewEncoder(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var s goStep
		if err := json.Unmarshal(line, &s); err != nil {
			panic(err)
		}
		a := s.answer()
		a.ID = s.ID
		if err := answers.Encode(a); err != nil {
			return
		}
	}
}

// goStep is a step as the Go driver reads it.
type goStep struct {
	ID     int
	Call   string
	Client struct {
		BaseURL         string
		AppID           string
		APIKey          string
		ProvisioningKey string
		TimeoutMs       int
		Retries         *int
		MaxRetryAfterMs int
	}
	AbortAfterMs *int
	Args         goArgs
}

// goArgs are the arguments of any call.
type goArgs struct {
	Body                                                 json.RawMessage
	ID, Delivery, Status, Channel, To, Tag, TemplateKey  string
	Window, Key, Address, Reason, Format, Content, State string
	MessageID, After, Until, List                        string
	CreatedAfter, CreatedBefore                          time.Time
	Limit, Version, Timeout, Take, Repeat, TimeoutMs     int
	Unencodable                                          *int
	Headers                                              map[string]string
	Secrets                                              []string
	ToleranceSeconds                                     int
	Now                                                  int64
}

// bodyOf decodes the body into what the client takes.
func bodyOf[T any](a goArgs) T {
	var out T
	if len(a.Body) > 0 {
		if err := json.Unmarshal(a.Body, &out); err != nil {
			panic(err)
		}
	}
	return out
}

func (a goArgs) list() client.ListOptions {
	return client.ListOptions{Status: a.Status, Channel: a.Channel, To: a.To, Tag: a.Tag, TemplateKey: a.TemplateKey,
		CreatedAfter: a.CreatedAfter, CreatedBefore: a.CreatedBefore, PageSize: a.Limit}
}

func (s *goStep) answer() (a answered) {
	if s.Call == "hello" {
		var calls []string
		for name := range goCalls {
			calls = append(calls, name)
		}
		slices.Sort(calls)
		return answered{Result: map[string]any{"language": "go", "calls": calls}}
	}
	o := client.Options{BaseURL: s.Client.BaseURL, App: s.Client.AppID, Key: s.Client.APIKey, ProvisioningKey: s.Client.ProvisioningKey,
		Timeout: time.Duration(s.Client.TimeoutMs) * time.Millisecond, MaxRetryAfter: time.Duration(s.Client.MaxRetryAfterMs) * time.Millisecond}
	if s.Client.Retries != nil {
		if o.Retries = *s.Client.Retries; o.Retries == 0 {
			o.Retries = -1
		}
	}
	var c *client.Client
	if s.Call != "verifyWebhook" {
		var err error
		if c, err = client.New(o); err != nil {
			return answered{Error: map[string]any{"kind": "usage", "message": err.Error()}}
		}
		defer c.Close()
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if s.AbortAfterMs != nil {
		time.AfterFunc(time.Duration(*s.AbortAfterMs)*time.Millisecond, cancel)
	}
	result, err := goCalls[s.Call](ctx, c, s.Args)
	if err != nil {
		return answered{Error: goError(ctx, err)}
	}
	return answered{Result: result}
}

func goError(ctx context.Context, err error) map[string]any {
	out := map[string]any{"message": err.Error()}
	if sending, ok := errors.AsType[*client.SendError](err); ok {
		out["idempotencyKey"] = sending.IdempotencyKey
	}
	if batch, ok := errors.AsType[*client.BatchError](err); ok {
		out["idempotencyKeys"] = batch.IdempotencyKeys
	}
	refused, ok := errors.AsType[*client.Error](err)
	waited, late := errors.AsType[*client.WaitError](err)
	switch {
	case ok:
		out["kind"], out["code"], out["status"], out["message"] = "api", refused.Code, refused.Status, refused.Message
		out["fields"], out["details"], out["requestId"], out["retryAfterMs"] = refused.Fields, refused.Details, refused.RequestID, refused.RetryAfter.Milliseconds()
	case late:
		out["kind"] = "wait"
		if waited.Last != nil {
			out["lastStatus"] = waited.Last.Status
		}
	case errors.Is(err, client.ErrWebhookSignature):
		out["kind"] = "webhook"
	case errors.Is(err, client.ErrAnswer):
		out["kind"] = "answer"
	case ctx.Err() != nil:
		out["kind"] = "aborted"
	case errors.Is(err, context.DeadlineExceeded):
		out["kind"] = "timeout"
	case strings.HasPrefix(err.Error(), "call ") || strings.HasPrefix(err.Error(), "read the answer"):
		out["kind"] = "connection"
	case strings.HasPrefix(err.Error(), "read the webhook"):
		out["kind"] = "webhook"
	default:
		out["kind"] = "usage"
	}
	return out
}

// page is a list as the contract answers it; the Go client has iterators alone, of which it takes a page.
func pageOf[T any](items iter.Seq2[T, error], limit int) (any, error) {
	out, err := taken(items, limit)
	return map[string]any{"data": out, "nextCursor": nil}, err
}

func taken[T any](items iter.Seq2[T, error], n int) ([]T, error) {
	out := []T{}
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		if out = append(out, item); len(out) == n {
			break
		}
	}
	return out, nil
}

func itemsOf[T any](items iter.Seq2[T, error], n int) (any, error) {
	out, err := taken(items, n)
	return map[string]any{"items": out}, err
}

func dataOf[T any](items []T, err error) (any, error) {
	return map[string]any{"data": items, "nextCursor": nil}, err
}

func textOf(from io.ReadCloser, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.Close() }() // it was read
	text, err := io.ReadAll(from)
	return map[string]any{"text": string(text)}, err
}

func nothingOf(err error) (any, error) { return map[string]any{}, err }

// seconds are the members of bodies that the client takes as durations.
type seconds struct {
	OverlapSeconds int64
	Secret         string
}

func (s seconds) overlap() time.Duration { return time.Duration(s.OverlapSeconds) * time.Second }

func sendOne(channel string) func(context.Context, *client.Client, goArgs) (any, error) {
	return func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		m := bodyOf[client.Message](a)
		if channel != "" {
			m.Channel = channel
		}
		got, err := c.Send(ctx, m)
		if err != nil {
			return nil, err
		}
		return struct {
			*client.Accepted
			IdempotencyKey string `json:"idempotencyKey"`
		}{got, got.IdempotencyKey}, nil
	}
}

func sendMany(ctx context.Context, c *client.Client, a goArgs) (any, error) {
	messages := bodyOf[struct{ Messages []client.Message }](a).Messages
	if a.Repeat > 0 {
		messages = slices.Repeat(messages[:1], a.Repeat)
	}
	if a.Unencodable != nil {
		messages[*a.Unencodable].Metadata = make(chan int)
	}
	got, err := c.SendBatch(ctx, messages)
	if err != nil {
		return nil, err
	}
	type item struct {
		client.BatchItem
		IdempotencyKey string `json:"idempotencyKey"`
	}
	data := make([]item, len(got))
	for i := range got {
		data[i] = item{got[i], got[i].IdempotencyKey}
	}
	return map[string]any{"data": data}, nil
}

func walkAny(ctx context.Context, c *client.Client, a goArgs) (any, error) {
	switch a.List {
	case "messages":
		return itemsOf(c.List(ctx, a.list()), a.Take)
	case "captures":
		return itemsOf(c.Captures(ctx, a.list()), a.Take)
	case "templates":
		return itemsOf(c.Templates(ctx, client.TemplateListOptions{Channel: a.Channel, Key: a.Key, PageSize: a.Limit}), a.Take)
	case "suppressions":
		return itemsOf(c.Suppressions(ctx, suppressionQuery(a)), a.Take)
	case "deliveries":
		return itemsOf(c.Deliveries(ctx, a.ID, deliveryFilter(a)), a.Take)
	}
	panic("no list of " + a.List)
}

func suppressionQuery(a goArgs) client.SuppressionQuery {
	return client.SuppressionQuery{Channel: a.Channel, Address: a.Address, Reason: a.Reason, CreatedAfter: a.CreatedAfter, CreatedBefore: a.CreatedBefore, PageSize: a.Limit}
}

func deliveryFilter(a goArgs) client.DeliveryFilter {
	return client.DeliveryFilter{State: a.State, MessageID: a.MessageID, CreatedAfter: a.CreatedAfter, CreatedBefore: a.CreatedBefore, PageSize: a.Limit}
}

// streamed is an event of the stream with its cursor among its members.
type streamed struct {
	client.FeedEvent
	Cursor string `json:"cursor"`
}

func verifyGo(_ context.Context, _ *client.Client, a goArgs) (any, error) {
	header := http.Header{}
	for name, value := range a.Headers {
		header.Set(name, value)
	}
	v := client.Verifier{Secrets: a.Secrets, Tolerance: time.Duration(a.ToleranceSeconds) * time.Second}
	if a.Now != 0 {
		v.Now = func() time.Time { return time.UnixMilli(a.Now) }
	}
	var body string
	if err := json.Unmarshal(a.Body, &body); err != nil {
		panic(err)
	}
	return v.Verify(header, []byte(body))
}

// goCalls says what each call is in the Go client.
var goCalls = map[string]func(context.Context, *client.Client, goArgs) (any, error){
	"sendMessage": sendOne(""), "sendEmail": sendOne(client.Email), "sendSms": sendOne(client.SMS), "sendMessages": sendMany, "walk": walkAny, "verifyWebhook": verifyGo,
	"previewMessage": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.Preview(ctx, bodyOf[client.Message](a))
	},
	"listMessages": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return pageOf(c.List(ctx, a.list()), a.Limit)
	},
	"getMessage": func(ctx context.Context, c *client.Client, a goArgs) (any, error) { return c.Get(ctx, a.ID) },
	"changeMessage": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		if bodyOf[struct{ Action string }](a).Action == "RETRY" {
			return c.Retry(ctx, a.ID)
		}
		return c.Cancel(ctx, a.ID)
	},
	"listCaptures": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return pageOf(c.Captures(ctx, a.list()), a.Limit)
	},
	"waitForCapture": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.WaitForCapture(ctx, a.To, client.WaitOptions{Channel: a.Channel, CreatedAfter: a.CreatedAfter, Timeout: time.Duration(a.Timeout) * time.Second})
	},
	"getCapture": func(ctx context.Context, c *client.Client, a goArgs) (any, error) { return c.Capture(ctx, a.ID) },
	"getCaptureSource": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return textOf(c.CaptureSource(ctx, a.ID))
	},
	"getApp": func(ctx context.Context, c *client.Client, _ goArgs) (any, error) { return c.App(ctx) },
	"changeApp": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.UpdateApp(ctx, bodyOf[client.AppChange](a))
	},
	"getStats": func(ctx context.Context, c *client.Client, a goArgs) (any, error) { return c.Stats(ctx, a.Window) },
	"createTemplate": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.CreateTemplate(ctx, bodyOf[client.NewTemplate](a))
	},
	"listTemplates": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return pageOf(c.Templates(ctx, client.TemplateListOptions{Channel: a.Channel, Key: a.Key, PageSize: a.Limit}), a.Limit)
	},
	"getTemplate": func(ctx context.Context, c *client.Client, a goArgs) (any, error) { return c.Template(ctx, a.ID) },
	"changeTemplate": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.UpdateTemplate(ctx, a.ID, bodyOf[client.TemplateChange](a))
	},
	"deleteTemplate": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return nothingOf(c.DeleteTemplate(ctx, a.ID))
	},
	"listTemplateVersions": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return dataOf(c.TemplateVersions(ctx, a.ID))
	},
	"getTemplateVersion": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.TemplateVersion(ctx, a.ID, a.Version)
	},
	"rollbackTemplate": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.RollbackTemplate(ctx, a.ID, bodyOf[struct{ Version int }](a).Version)
	},
	"previewTemplate": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.PreviewTemplate(ctx, a.ID, bodyOf[struct{ Variables map[string]any }](a).Variables)
	},
	"createProviderConfig": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.CreateProvider(ctx, bodyOf[client.ProviderChange](a))
	},
	"listProviderConfigs": func(ctx context.Context, c *client.Client, _ goArgs) (any, error) { return dataOf(c.Providers(ctx)) },
	"getProviderConfig":   func(ctx context.Context, c *client.Client, a goArgs) (any, error) { return c.Provider(ctx, a.ID) },
	"changeProviderConfig": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.UpdateProvider(ctx, a.ID, bodyOf[client.ProviderChange](a))
	},
	"deleteProviderConfig": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return nothingOf(c.DeleteProvider(ctx, a.ID))
	},
	"rotateProviderCallback": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.RotateCallback(ctx, a.ID, bodyOf[seconds](a).overlap())
	},
	"verifyProviderConfig": func(ctx context.Context, c *client.Client, a goArgs) (any, error) { return c.VerifyProvider(ctx, a.ID) },
	"testProviderConfig": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.TestProvider(ctx, a.ID, bodyOf[struct{ To string }](a).To)
	},
	"addSuppression": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		s := bodyOf[client.Suppression](a)
		got, _, err := c.Suppress(ctx, s.Channel, s.Address, s.Reason, s.Note)
		return got, err
	},
	"listSuppressions": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return pageOf(c.Suppressions(ctx, suppressionQuery(a)), a.Limit)
	},
	"removeSuppression": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return nothingOf(c.Unsuppress(ctx, a.Channel, a.Address))
	},
	"importSuppressions": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.ImportSuppressions(ctx, a.Format, strings.NewReader(a.Content))
	},
	"exportSuppressions": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return textOf(c.ExportSuppressions(ctx, a.Format))
	},
	"erasePerson": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		person := bodyOf[client.Suppression](a)
		return c.ErasePerson(ctx, person.Channel, person.Address)
	},
	"getErasure": func(ctx context.Context, c *client.Client, a goArgs) (any, error) { return c.Erasure(ctx, a.ID) },
	"exportPerson": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return textOf(c.ExportPerson(ctx, a.Channel, a.Address))
	},
	"listEvents": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.Events(ctx, a.After, a.Limit)
	},
	"feed": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		items, cursor := []client.FeedEvent{}, ""
		for p, err := range c.Feed(ctx, a.After) {
			if err != nil {
				return nil, err
			}
			items, cursor = append(items, p.Data...), p.NextCursor
		}
		return map[string]any{"items": items, "nextCursor": cursor}, nil
	},
	"streamEvents": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		got, err := taken(c.Follow(ctx, a.After), a.Take)
		items := make([]streamed, len(got))
		for i := range got {
			items[i] = streamed{got[i].FeedEvent, got[i].Cursor}
		}
		return map[string]any{"items": items}, err
	},
	"waitForDelivery": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.WaitForDelivery(ctx, a.ID, client.DeliveryWait{Until: a.Until, Timeout: time.Duration(a.TimeoutMs) * time.Millisecond, After: a.After})
	},
	"createWebhook": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.CreateEndpoint(ctx, bodyOf[client.EndpointChange](a))
	},
	"listWebhooks": func(ctx context.Context, c *client.Client, _ goArgs) (any, error) { return dataOf(c.Endpoints(ctx)) },
	"getWebhook":   func(ctx context.Context, c *client.Client, a goArgs) (any, error) { return c.Endpoint(ctx, a.ID) },
	"changeWebhook": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.UpdateEndpoint(ctx, a.ID, bodyOf[client.EndpointChange](a))
	},
	"deleteWebhook": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return nothingOf(c.DeleteEndpoint(ctx, a.ID))
	},
	"rotateWebhookSecret": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		s := bodyOf[seconds](a)
		return c.RotateSecret(ctx, a.ID, s.Secret, s.overlap())
	},
	"testWebhook": func(ctx context.Context, c *client.Client, a goArgs) (any, error) { return c.TestEndpoint(ctx, a.ID) },
	"replayDeliveries": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		r := bodyOf[struct {
			CreatedAfter, CreatedBefore time.Time
			State                       string
		}](a)
		replayed, err := c.Replay(ctx, a.ID, r.CreatedAfter, r.CreatedBefore, r.State)
		return map[string]any{"replayed": replayed}, err
	},
	"listDeliveries": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return pageOf(c.Deliveries(ctx, a.ID, deliveryFilter(a)), a.Limit)
	},
	"getDelivery": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.Delivery(ctx, a.ID, a.Delivery)
	},
	"replayDelivery": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.ReplayDelivery(ctx, a.ID, a.Delivery)
	},
	"provisionApp": func(ctx context.Context, c *client.Client, a goArgs) (any, error) {
		return c.Provision(ctx, bodyOf[client.NewApp](a))
	},
}
