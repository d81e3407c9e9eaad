package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// auditLog reads the API server's audit log as it grows.
type auditLog struct {
	path string

	mu       sync.Mutex
	offset   int64 // of the first line that was not whole yet
	requests Requests
	pending  map[string]int // audit ID of a request not yet answered: its place in requests
}

func newAuditLog(path string) *auditLog {
	return &auditLog{path: path, pending: map[string]int{}}
}

// read returns the requests on record when it was called, waiting for their answers.
func (a *auditLog) read(ctx context.Context) (Requests, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.advance(); err != nil {
		return nil, err
	}
	count := len(a.requests)
	for a.unanswered(count) {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("requests of clients were still unanswered: %w\n%s", ctx.Err(), a.stuck(count))
		case <-time.After(5 * time.Millisecond):
		}
		if err := a.advance(); err != nil {
			return nil, err
		}
	}
	return slices.Clone(a.requests[:count]), nil
}

// unanswered tells whether one of the first count requests has no answer yet and is no stream.
func (a *auditLog) unanswered(count int) bool { return len(a.stuck(count)) > 0 }

func (a *auditLog) stuck(count int) Requests {
	var stuck Requests
	for _, place := range a.pending {
		if place < count && !a.requests[place].streams() {
			stuck = append(stuck, a.requests[place])
		}
	}
	return stuck
}

// advance takes in what was written since the last time.
func (a *auditLog) advance() error {
	file, err := os.Open(a.path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(a.offset, io.SeekStart); err != nil {
		return err
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	for {
		line, rest, whole := bytes.Cut(content, []byte("\n"))
		if !whole {
			return nil
		}
		var event auditEvent
		if err := json.Unmarshal(line, &event); err != nil {
			return fmt.Errorf("audit log %s at byte %d: %w", a.path, a.offset, err)
		}
		a.take(event)
		a.offset += int64(len(line) + 1)
		content = rest
	}
}

// take counts a request when it was received and completes it when it was answered.
func (a *auditLog) take(event auditEvent) {
	if event.Stage == "RequestReceived" {
		a.pending[event.AuditID] = len(a.requests)
		a.requests = append(a.requests, event.request())
		return
	}
	if place, ok := a.pending[event.AuditID]; ok {
		a.requests[place] = event.request()
		delete(a.pending, event.AuditID)
	}
}

// auditEvent is the part we read of audit.k8s.io/v1 Event.
type auditEvent struct {
	AuditID    string `json:"auditID"`
	Stage      string `json:"stage"`
	RequestURI string `json:"requestURI"`
	Verb       string `json:"verb"`
	User       struct {
		Username string `json:"username"`
	} `json:"user"`
	ImpersonatedUser struct {
		Username string `json:"username"`
	} `json:"impersonatedUser"`
	UserAgent string `json:"userAgent"`
	ObjectRef struct {
		APIGroup    string `json:"apiGroup"`
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	RequestReceivedTimestamp time.Time `json:"requestReceivedTimestamp"`
	StageTimestamp           time.Time `json:"stageTimestamp"`
}

func (e auditEvent) request() Request {
	resource := e.ObjectRef.Resource
	if e.ObjectRef.Subresource != "" {
		resource += "/" + e.ObjectRef.Subresource
	}
	request := Request{
		User:      e.User.Username,
		As:        e.ImpersonatedUser.Username,
		Agent:     e.UserAgent,
		Verb:      e.Verb,
		Group:     e.ObjectRef.APIGroup,
		Resource:  resource,
		Namespace: e.ObjectRef.Namespace,
		Name:      e.ObjectRef.Name,
		URI:       e.RequestURI,
		DryRun:    dryRun(e.RequestURI),
		Code:      e.ResponseStatus.Code,
		Received:  e.RequestReceivedTimestamp,
	}
	if e.Stage == "ResponseComplete" {
		request.Answered = e.StageTimestamp
	}
	return request
}

func dryRun(uri string) bool {
	parsed, err := url.Parse(uri)
	return err == nil && slices.Contains(parsed.Query()["dryRun"], "All")
}

// streams tells of a request that has no end of its own.
func (q Request) streams() bool {
	_, subresource, _ := strings.Cut(q.Resource, "/")
	return q.Verb == "watch" || slices.Contains([]string{"attach", "exec", "log", "portforward", "proxy"}, subresource)
}
