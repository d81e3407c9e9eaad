package kfp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

const (
	user = "system:serviceaccount:fraud:trainer"
	ir   = `{"pipelineInfo":{"name":"echo"},"schemaVersion":"2.1.0","root":{"inputDefinitions":{"parameters":{"n":{"parameterType":"NUMBER_INTEGER","isOptional":true}}}}}`
)

// asker asks a server in plain HTTP.
type asker struct {
	t      *testing.T
	server *Server
	token  string
	header http.Header
}

func start(t *testing.T, options Options) *asker {
	t.Helper()
	options.MultiUser = true
	s, err := Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return &asker{t: t, server: s, token: Token(user), header: http.Header{}}
}

// ask returns the status and the message of an answer.
func (a *asker) ask(method, path, body string) (int, map[string]any) {
	a.t.Helper()
	r, err := http.NewRequest(method, a.server.URL+"/apis/v2beta1"+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	for key := range a.header {
		r.Header.Set(key, a.header.Get(key))
	}
	if a.token != "" {
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	message := map[string]any{}
	if err := json.Unmarshal(data, &message); err != nil {
		message["text"] = string(data)
	}
	return response.StatusCode, message
}

func (a *asker) upload(path, content string) (int, map[string]any) {
	a.t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	file, err := form.CreateFormFile("uploadfile", "p.yaml")
	if err != nil {
		a.t.Fatal(err)
	}
	_, _ = io.WriteString(file, content) // a buffer takes all
	if err := form.Close(); err != nil {
		a.t.Fatal(err)
	}
	a.header.Set("Content-Type", form.FormDataContentType())
	defer a.header.Del("Content-Type")
	return a.ask("POST", path, b.String())
}

// want is an answer's status and a part of it.
func (a *asker) want(method, path, body string, status int, part string) map[string]any {
	a.t.Helper()
	have, message := a.ask(method, path, body)
	data, err := json.Marshal(message)
	if err != nil || have != status || !strings.Contains(string(data), part) {
		a.t.Errorf("%s %s %s: %d %s, want %d %s", method, path, body, have, data, status, part)
	}
	return message
}

func (a *asker) prepare() (experiment, pipeline, version string) {
	a.t.Helper()
	experiment = a.want("POST", "/experiments", `{"display_name":"e","namespace":"fraud"}`, 200, `"storage_state":"AVAILABLE"`)["experiment_id"].(string)
	status, p := a.upload("/pipelines/upload?name=echo&namespace=fraud", ir)
	if status != 200 {
		a.t.Fatal(status, p)
	}
	pipeline = p["pipeline_id"].(string)
	list := a.want("GET", "/pipelines/"+pipeline+"/versions", "", 200, `"total_size":1`)
	version = list["pipeline_versions"].([]any)[0].(map[string]any)["pipeline_version_id"].(string)
	return experiment, pipeline, version
}

func TestErrorsAreAsGrpcGatewayHasThem(t *testing.T) {
	a := start(t, Options{})
	a.prepare()
	message := a.want("POST", "/pipelines", `{"display_name":"Echo","namespace":"fraud"}`, 409, "already exists")
	detail := message["details"].([]any)[0].(map[string]any)
	if message["code"] != 6.0 || message["error"] != message["message"] || detail["@type"] != "type.googleapis.com/google.rpc.Status" || detail["code"] != 6.0 ||
		!strings.HasSuffix(message["message"].(string), detail["message"].(string)) {
		t.Errorf("%v", message)
	}
	a.want("POST", "/experiments", `{"display_name":"e","namespace":"fraud"}`, 409, `"code":6`)
	a.want("POST", "/experiments", `{"display_name":"e2","namespace":"fraud","x":1}`, 400, "unknown field")
	a.want("GET", "/pipelines/names/none?namespace=fraud", "", 404, `"code":5`)
	a.want("GET", "/pipelines/names/echo?namespace=other", "", 404, `"code":5`)
	a.want("GET", "/pipelines/names/echo?namespace=fraud", "", 200, `"name":"echo"`)
	a.want("GET", "/nothing", "", 404, `"code":5`)
	a.want("GET", "/healthz", "", 200, `"multi_user":true`)
	for path, want := range map[string]string{"/pipelines/upload?name=echo&namespace=fraud": "409 Failed to create a pipeline and a pipeline version", "/pipelines/upload_version?name=v&pipelineid=none": "400 Failed to create a pipeline version"} {
		if status, message := a.upload(path, ir); fmt.Sprint(status, " ", message["error_message"]) != want {
			t.Errorf("%s: %d %v, want %s", path, status, message, want)
		}
	}
	if status, message := a.upload("/pipelines/upload?name=x&namespace=fraud", "a: b"); status != 400 || message["error_message"] != "no pipeline spec is provided" {
		t.Errorf("%d %v", status, message)
	}
}

func TestWhoAsks(t *testing.T) {
	a := start(t, Options{May: func(_, verb, _, _ string) bool { return verb != "delete" }})
	a.prepare()
	for token, want := range map[string]string{"": "User identity is empty", "hello": "invalid bearer token", Token(user, "other"): "is invalid for the target audiences", Expired(user): "has expired"} {
		a.token = token
		a.want("GET", "/experiments?namespace=fraud", "", 401, want)
		if status, message := a.upload("/pipelines/upload?name=x&namespace=fraud", ir); status != 400 || message["error_message"] != "Failed to create a pipeline and a pipeline version" {
			t.Errorf("an upload: %d %v", status, message)
		}
	}
	a.token = Token(user)
	id := a.want("GET", "/pipelines?namespace=fraud", "", 200, "echo")["pipelines"].([]any)[0].(map[string]any)["pipeline_id"].(string)
	a.want("DELETE", "/pipelines/"+id+"?cascade=true", "", 403, "is not authorized with reason")
	a.header.Set("kubeflow-userid", "root@example.com")
	a.want("GET", "/experiments?namespace=fraud", "", 403, "RBAC: access denied")
}

func TestRunsAreMadeEachTime(t *testing.T) {
	now := time.Unix(1_800_000_000, 999_999_999)
	a := start(t, Options{Now: func() time.Time { return now }})
	e, p, v := a.prepare()
	body := fmt.Sprintf(`{"display_name":"r","experiment_id":%q,"pipeline_version_reference":{"pipeline_id":%q,"pipeline_version_id":%q}}`, e, p, v)
	a.want("POST", "/runs", strings.Replace(body, e, "", 1), 400, "Experiment id can not be empty in multi-user mode")
	a.want("POST", "/runs", strings.Replace(body, `"r"`, `""`, 1), 400, "The run name is empty")
	a.want("POST", "/runs", strings.Replace(body, v, "none", 1), 500, "PipelineVersion none not found")
	a.want("POST", "/runs", strings.Replace(body, `{"display_name"`, `{"runtime_config":{"parameters":{"n":"1"}},"display_name"`, 1), 400, "input parameter n requires type NUMBER_INTEGER")
	a.want("POST", "/runs", strings.Replace(body, `{"display_name"`, `{"runtime_config":{"parameters":{"m":1}},"display_name"`, 1), 400, "not required by pipeline: m")
	one := a.want("POST", "/runs", body, 200, `"finished_at":"1970-01-01T00:00:00Z"`)
	two := a.want("POST", "/runs", body, 200, `"state":"PENDING"`)
	if one["run_id"] == two["run_id"] || one["created_at"] != two["created_at"] || one["created_at"] != "2027-01-15T08:00:00Z" {
		t.Errorf("%v\n%v", one, two)
	}
	id := one["run_id"].(string)
	a.want("POST", "/runs/"+id+":terminate", "", 200, "{}")
	a.want("POST", "/runs/"+id+":terminate", "", 400, "Row not found")
	a.server.Run(id).Stopped()
	a.want("GET", "/runs/"+id, "", 200, `"state":"FAILED"`)
	a.server.Forget(id)
	a.want("GET", "/runs/"+id, "", 404, "Run "+id+" not found")
	a.want("POST", "/runs/"+id+":terminate", "", 404, "not found")
	if fmt.Sprint(a.server.Made("r")) != fmt.Sprint([]any{two["run_id"]}) {
		t.Errorf("%v", a.server.Made("r"))
	}
}

func TestLists(t *testing.T) {
	a := start(t, Options{})
	for i := range 25 {
		a.want("POST", "/experiments", fmt.Sprintf(`{"display_name":"e%02d","namespace":"fraud"}`, i), 200, "")
	}
	a.want("POST", "/experiments", `{"display_name":"50% + more","namespace":"fraud"}`, 200, "")
	filter := func(operation, value string, times int) string {
		text := fmt.Sprintf(`{"predicates":[{"operation":%q,"key":"display_name",%s}]}`, operation, value)
		for range times {
			text = url.QueryEscape(text)
		}
		return "&filter=" + text
	}
	list := "/experiments?namespace=fraud"
	first := a.want("GET", list, "", 200, `"total_size":26`)
	if n := len(first["experiments"].([]any)); n != 20 {
		t.Errorf("%d on the first page", n)
	}
	token := "&page_token=" + url.QueryEscape(first["next_page_token"].(string))
	second := a.want("GET", list+token, "", 200, `"total_size":26`)
	if n := len(second["experiments"].([]any)); n != 6 || second["next_page_token"] != nil {
		t.Errorf("%d on the second page, and %v", n, second["next_page_token"])
	}
	seen := map[any]bool{}
	for _, e := range append(first["experiments"].([]any), second["experiments"].([]any)...) {
		seen[e.(map[string]any)["experiment_id"]] = true
	}
	if len(seen) != 26 {
		t.Errorf("%d of 26 were seen", len(seen))
	}
	a.want("GET", list+token+filter("EQUALS", `"string_value":"e01"`, 2), "", 400, "page token does not match")
	a.want("GET", list+"&page_token=x", "", 400, "Invalid page token")
	a.want("GET", list+"&page_size=-1", "", 400, "page size should be greater")
	a.want("GET", list+"&sort_by=created_at%20down", "", 400, "invalid sort by format")
	a.want("GET", list+filter("EQUALS", `"string_value":"E01"`, 2), "", 200, `"total_size":1`)
	a.want("GET", list+filter("EQUALS", `"stringValue":"e01"`, 1), "", 200, `"total_size":1`)
	a.want("GET", list+filter("EQUALS", `"string_value":"50% + more"`, 2), "", 200, `"total_size":1`)
	a.want("GET", list+filter("EQUALS", `"string_value":"50% + more"`, 1), "", 400, "failed to parse valid filter")
	a.want("GET", list+filter("IN", `"string_values":{"values":["e01","e02","e99"]}`, 2), "", 200, `"total_size":2`)
	a.want("GET", list+filter("IS_SUBSTRING", `"string_value":"e1"`, 2), "", 200, `"total_size":10`)
	a.want("GET", list+filter("NOT_EQUALS", `"string_value":"e1"`, 2), "", 200, `"total_size":26`)
	a.want("GET", list+filter("LIKE", `"string_value":"e1"`, 2), "", 400, "invalid predicate operation")
	a.want("GET", list+filter("EQUALS", `"text":"e1"`, 2), "", 400, "failed to parse valid filter")
	a.want("GET", list+"&filter="+url.QueryEscape(`{"predicates":[{"operation":"EQUALS","key":"x","string_value":"y"}]}`), "", 400, "unrecognized field")
	a.want("GET", "/experiments?namespace=other", "", 200, "{}")
}
