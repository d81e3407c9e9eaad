package kfp

import (
	"bytes"
	"context"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// delivered is the description of what this package makes.
const delivered = "Delivered by Sluice as Git says"

type apiPipeline struct {
	ID          string `json:"pipeline_id"`
	Name        string `json:"name"`
	DisplayName string `json:"display_name"`
}

type apiVersion struct {
	ID          string          `json:"pipeline_version_id"`
	PipelineID  string          `json:"pipeline_id"`
	Name        string          `json:"name"`
	DisplayName string          `json:"display_name"`
	CreatedAt   time.Time       `json:"created_at"`
	Spec        json.RawMessage `json:"pipeline_spec"`
}

func (v apiVersion) version() Version {
	return Version{ID: v.ID, PipelineID: v.PipelineID, Name: nameOf(v.Name, v.DisplayName), CreatedAt: v.CreatedAt}
}

// nameOf is the name: servers before 2.15 have the one that is displayed only.
func nameOf(name, display string) string {
	if name == "" {
		return display
	}
	return name
}

// plain is what can be a part of a path as it is.
var plain = regexp.MustCompile(`^[A-Za-z0-9_-]{1,191}$`)

// part is an id as a part of a path.
func part(what, id string) (string, error) {
	if !plain.MatchString(id) {
		return "", sayf(Invalid, "%q is no id of a %s", printable(id), what)
	}
	return id, nil
}

// checkName says what is wrong with a name that the server would say in other words, or answer 500 to.
func checkName(what, name string) error {
	if name == "" || len(name) > maxName || strings.ContainsAny(name, "/%?#") || strings.Trim(name, ".") == "" || name != printable(name) {
		return sayf(Invalid, "%q cannot be the name of %s: write one of at most %d bytes, without / %% ? #", printable(name), what, maxName)
	}
	return nil
}

// FindPipeline finds a pipeline by its name. Without multi-user mode the namespace does not count.
func (c *Client) FindPipeline(ctx context.Context, namespace, name string) (Pipeline, error) {
	if err := checkName("a pipeline", name); err != nil {
		return Pipeline{}, err
	}
	var found apiPipeline
	err := c.get(ctx, "/pipelines/names/"+url.PathEscape(name), inNamespace(namespace), &found)
	if err == nil && nameOf(found.Name, found.DisplayName) != name {
		err = sayf(Missing, "there is %q, and names that differ in case only are one there", printable(nameOf(found.Name, found.DisplayName)))
	}
	if err != nil {
		return Pipeline{}, about(err, "the pipeline %s%s", name, of(namespace))
	}
	return Pipeline{ID: found.ID, Namespace: namespace, Name: name}, nil
}

func inNamespace(namespace string) url.Values {
	if namespace == "" {
		return url.Values{}
	}
	return url.Values{"namespace": {namespace}}
}

// of names a namespace in a sentence.
func of(namespace string) string {
	if namespace == "" {
		return ""
	}
	return " of namespace " + namespace
}

// FindVersion finds a version of a pipeline by its name, or the newest if that is empty.
func (c *Client) FindVersion(ctx context.Context, p Pipeline, name string) (Version, error) {
	query := url.Values{"page_size": {"1"}, "sort_by": {"created_at desc"}}
	if name != "" {
		filter, err := named("name", name)
		if err != nil {
			return Version{}, err
		}
		query = url.Values{"page_size": {strconv.Itoa(pageSize)}, "filter": {filter}}
	}
	first, err := c.versions(ctx, p, query)
	found := first.items
	if name != "" && ReasonOf(err) == Invalid {
		found, err = c.allVersions(ctx, p)
	}
	if err != nil {
		return Version{}, about(err, "the pipeline %s%s", p.Name, of(p.Namespace))
	}
	for _, v := range found {
		if name == "" || v.Name == name || v.Name == nativeName(p.Name, name) {
			return v, nil
		}
	}
	if name == "" {
		return Version{}, sayf(Missing, "the pipeline %s%s has no version: upload one, or let a Pipeline deliver it", p.Name, of(p.Namespace))
	}
	return Version{}, sayf(Missing, "the pipeline %s%s has no version %s: it was deleted, or is not delivered yet", p.Name, of(p.Namespace), printable(name))
}

// allVersions are all of a pipeline, a few at a time, for each comes with all that is in it. Where they are
// objects of Kubernetes the server filters them by no name, and gives them that of the object.
func (c *Client) allVersions(ctx context.Context, p Pipeline) ([]Version, error) {
	query := url.Values{"page_size": {strconv.Itoa(nativePage)}}
	return list(query, func(q url.Values) (page[Version], error) { return c.versions(ctx, p, q) })
}

// versions is a page of a pipeline's.
func (c *Client) versions(ctx context.Context, p Pipeline, query url.Values) (page[Version], error) {
	id, err := part("pipeline", p.ID)
	if err != nil {
		return page[Version]{}, err
	}
	var answer struct {
		Versions []apiVersion `json:"pipeline_versions"`
		Next     string       `json:"next_page_token"`
	}
	err = c.get(ctx, "/pipelines/"+id+"/versions", query, &answer)
	result := page[Version]{next: answer.Next}
	for _, v := range answer.Versions {
		result.items = append(result.items, v.version())
	}
	return result, err
}

// describe reads what a version is of: its parameters, before it is run.
func (c *Client) describe(ctx context.Context, v Version) (Package, error) {
	found, err := c.version(ctx, v)
	if err != nil {
		return Package{}, about(err, "the version %s", printable(v.Name))
	}
	spec := found.Spec
	var both struct {
		Spec     json.RawMessage `json:"pipeline_spec"`
		Platform json.RawMessage `json:"platform_spec"`
	}
	if json.Unmarshal(spec, &both) == nil && both.Spec != nil {
		spec = both.Spec
	}
	p, err := described(spec, both.Platform)
	return p, about(err, "the version %s", printable(v.Name))
}

// described is a package as a server writes it.
func described(documents ...json.RawMessage) (Package, error) {
	for i, d := range documents {
		if d == nil {
			continue
		}
		var err error
		if documents[i], err = canonical(d); err != nil {
			return Package{}, sayf(Broken, "it cannot be read: %s", printable(err.Error()))
		}
	}
	return newPackage(documents[0], documents[1])
}

func (c *Client) version(ctx context.Context, v Version) (found apiVersion, err error) {
	pipeline, err := part("pipeline", v.PipelineID)
	if err != nil {
		return found, err
	}
	id, err := part("version", v.ID)
	if err != nil {
		return found, err
	}
	return found, c.get(ctx, "/pipelines/"+pipeline+"/versions/"+id, nil, &found)
}

// KeepsObjects tells whether the server says that it keeps pipelines in a database, or as objects of
// Kubernetes. Those before 2.14 say nothing, and have a database.
func (c *Client) KeepsObjects(ctx context.Context) (bool, error) {
	var health struct {
		Store string `json:"pipeline_store"`
	}
	err := c.get(ctx, "/healthz", nil, &health)
	return health.Store == "kubernetes", err
}

// Deliver has a pipeline have a version of this content, and makes what is missing for it. It can be
// asked again at any time, by several at once.
func (c *Client) Deliver(ctx context.Context, namespace, name string, p Package) (Version, error) {
	pipeline, err := ensure(
		func() (Pipeline, error) { return c.FindPipeline(ctx, namespace, name) },
		func() error { return c.createPipeline(ctx, namespace, name) })
	if err != nil {
		return Version{}, err
	}
	return ensure(
		func() (Version, error) { return c.FindVersion(ctx, pipeline, p.Version) },
		func() error { return c.uploadVersion(ctx, pipeline, p) })
}

// ensure finds something by its name, or makes it. Somebody else may make it at the same time, and the
// answer may be lost: what counts is what is found then.
func ensure[T any](find func() (T, error), create func() error) (T, error) {
	found, err := find()
	if ReasonOf(err) != Missing {
		return found, err
	}
	made := create()
	if made != nil && ReasonOf(made) != Taken && !mayBeDone(made) {
		return found, made
	}
	found, err = find()
	if made != nil && ReasonOf(err) == Missing {
		return found, made
	}
	return found, err
}

func (c *Client) createPipeline(ctx context.Context, namespace, name string) error {
	// The name that is displayed becomes the name. Servers before 2.15 refuse the field name.
	message := map[string]string{"display_name": name, "description": delivered}
	if namespace != "" {
		message["namespace"] = namespace
	}
	return about(c.post(ctx, "/pipelines", message, nil), "the pipeline %s%s cannot be created", name, of(namespace))
}

// uploadVersion sends a package. There is no other way: the one with a URL has the server fetch it.
func (c *Client) uploadVersion(ctx context.Context, p Pipeline, pkg Package) error {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("uploadfile", "pipeline.yaml")
	if err != nil {
		return err
	}
	if _, err := file.Write(pkg.content()); err != nil {
		return err
	}
	if err := form.Close(); err != nil {
		return err
	}
	err = c.call(ctx, request{
		method: http.MethodPost, path: "/pipelines/upload_version", body: body.Bytes(), contentType: form.FormDataContentType(),
		query: url.Values{"pipelineid": {p.ID}, "name": {pkg.Version}, "display_name": {pkg.Version}, "description": {delivered}},
	}, nil)
	if ReasonOf(err) == Invalid && strings.Contains(err.Error(), `"`+noReason+`"`) {
		err = sayf(Forbidden, "the server gives no reason, which it does when the account may not create pipelines there, or the pipeline was deleted meanwhile: let a Role for the group pipelines.kubeflow.org give it the verb create for pipelines, or see the log of its pod ml-pipeline")
	}
	return about(err, "the version %s of the pipeline %s%s cannot be uploaded", pkg.Version, p.Name, of(p.Namespace))
}

// noReason is all that the server says of an upload that it does not let somebody do.
const noReason = "Failed to create a pipeline version"

// Prune deletes versions that were delivered, but for those in use, by their ids or names, and the newest
// of the others. It returns those that are gone, also with an error.
func (c *Client) Prune(ctx context.Context, p Pipeline, keep int, inUse []string) ([]Version, error) {
	all, err := c.allVersions(ctx, p)
	if err != nil {
		return nil, about(err, "the pipeline %s%s", p.Name, of(p.Namespace))
	}
	var gone []Version
	for _, v := range stale(all, keep, inUse) {
		id, err := part("version", v.ID)
		if err == nil {
			err = c.call(ctx, request{method: http.MethodDelete, path: "/pipelines/" + p.ID + "/versions/" + id}, nil)
		}
		if err != nil && ReasonOf(err) != Missing {
			return gone, about(err, "the version %s of the pipeline %s%s cannot be deleted", v.Name, p.Name, of(p.Namespace))
		}
		gone = append(gone, v)
	}
	return gone, nil
}
