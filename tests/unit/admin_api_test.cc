#include "src/admin_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "tests/unit/admin_fake.h"

namespace crossover::src {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class AdminApiTest : public ::testing::Test {
 protected:
  AdminResponse ask(AdminRequest request) {
    int answers = 0;
    AdminResponse answer;
    api.handle(request, [&](AdminResponse response) {
      ++answers;
      answer = std::move(response);
    });
    EXPECT_EQ(answers, 1) << request.target;
    return answer;
  }
  AdminResponse ask(const std::string& method, const std::string& target, const std::string& body = "") {
    return ask(AdminRequest{.method = method, .target = target, .content_type = "application/json", .body = body});
  }
  json::value get(const std::string& target) {
    const AdminResponse answer = ask("GET", target);
    EXPECT_EQ(answer.status, 200) << target << answer.body;
    return json::parse(answer.body);
  }
  std::string error_of(const AdminResponse& answer) {
    const json::value body = json::parse(answer.body);
    EXPECT_FALSE(body.at("hint").as_string().empty());
    return body.at("error").as_string().c_str();
  }

  tests::FakeAdmin fake;
  AdminApi api{fake,
               {.allowed_hosts = {"gateway.example", "2001:db8::7"}, .now = [] { return proxy::Millis{71'000}; }}};
};

TEST_F(AdminApiTest, what_can_be_read) {
  EXPECT_EQ(get("/v1/status").at("clusters").at("source").at("brokers"), 3);
  EXPECT_EQ(get("/v1/routes").at("routes").as_array().size(), 2u);
  EXPECT_EQ(get("/v1/routes/orders").at("route"), "orders");
  EXPECT_EQ(get("/v1/connections").at("connections").at(0).at("idle_ms"), 100);
  EXPECT_EQ(get("/healthz").at("ok"), true);
  EXPECT_EQ(ask("GET", "/metrics").body, fake.metrics());
  EXPECT_THAT(ask("GET", "/v1/openapi.yaml").body, HasSubstr("openapi: 3"));
  EXPECT_THAT(ask("GET", "/").body, HasSubstr("<html"));
  EXPECT_EQ(ask("GET", "/").content_type, "text/html; charset=utf-8");
  EXPECT_EQ(ask("HEAD", "/v1/status").status, 200);
}

TEST_F(AdminApiTest, readiness_is_about_the_home_cluster_and_tells_the_other) {
  EXPECT_EQ(ask("GET", "/readyz").status, 200);
  fake.change([](StatusView& view) { view.reachable = {true, false}; });
  const AdminResponse other_down = ask("GET", "/readyz");
  EXPECT_EQ(other_down.status, 200);
  EXPECT_EQ(json::parse(other_down.body).at("clusters").at("target").at("reachable"), false);
  fake.change([](StatusView& view) { view.ready = false; });
  EXPECT_EQ(ask("GET", "/readyz").status, 503);
  fake.change([](StatusView& view) { view.ready = view.draining = true; });
  EXPECT_EQ(ask("GET", "/readyz").status, 503);
}

TEST_F(AdminApiTest, before_the_control_state_is_loaded) {
  fake.change([](StatusView& view) {
    view = {};
    view.version = "0.1.0";
  });
  EXPECT_EQ(get("/v1/status").at("ready"), false);
  EXPECT_EQ(ask("GET", "/readyz").status, 503);
  EXPECT_EQ(ask("GET", "/healthz").status, 200);
  EXPECT_EQ(ask("GET", "/v1/routes/default").status, 404);
  EXPECT_EQ(ask("POST", "/v1/routes/default/cutover").status, 404);
}

TEST_F(AdminApiTest, a_cutover_and_its_report) {
  const AdminResponse done = ask("POST", "/v1/routes/orders/cutover");
  EXPECT_EQ(done.status, 200);
  const json::value report = json::parse(done.body);
  EXPECT_EQ(report.at("result"), "done");
  EXPECT_EQ(report.at("direction"), "cutover");
  EXPECT_EQ(report.at("generation"), 3);
  EXPECT_EQ(report.at("partitions").as_array().size(), 9u);
  EXPECT_EQ(report.at("partitions").at(0).at("from").at("cluster"), "source");
  EXPECT_EQ(report.at("partitions").at(0).at("to").at("cluster"), "target");
  EXPECT_EQ(report.at("hold_ms").at("max"), 40);
  EXPECT_THAT(fake.calls, ElementsAre("flip orders target"));
  EXPECT_EQ(json::parse(ask("POST", "/v1/routes/orders/cutover").body).at("result"), "unchanged");
  EXPECT_EQ(json::parse(ask("POST", "/v1/routes/orders/rollback").body).at("partitions").at(0).at("from").at("cluster"),
            "target");
}

TEST_F(AdminApiTest, a_dry_run_is_a_dry_run) {
  EXPECT_EQ(json::parse(ask("POST", "/v1/routes/orders/cutover?dry_run=true").body).at("result"), "dry_run");
  EXPECT_EQ(json::parse(ask("POST", "/v1/routes/orders/rollback?dry_run=1").body).at("result"), "unchanged");
  EXPECT_THAT(fake.calls, ElementsAre("flip orders target dry_run", "flip orders source dry_run"));
}

TEST_F(AdminApiTest, what_a_flip_may_do_besides) {
  ask("POST", "/v1/routes/orders/cutover?widen=true&dry_run=true");
  ask("POST", "/v1/routes/orders/cutover?abort_open=true&widen=false&dry_run=true");
  EXPECT_THAT(fake.calls, ElementsAre("flip orders target dry_run widen", "flip orders target dry_run abort_open"));
  EXPECT_EQ(ask("POST", "/v1/routes/orders/cutover?widen=yes").status, 400);
  EXPECT_EQ(fake.calls.size(), 2u);
}

TEST_F(AdminApiTest, couplings_are_shown_with_their_route) {
  const json::value route = get("/v1/routes/orders");
  EXPECT_EQ(route.at("coupling_count"), 2);
  EXPECT_EQ(route.at("couplings").at(0).at("transactional_id"), "billing-1");
  EXPECT_EQ(route.at("couplings").at(0).at("torn"), true);
  EXPECT_EQ(route.at("couplings").at(0).at("groups").at(0), "billing");
}

TEST_F(AdminApiTest, a_transaction_is_aborted_by_its_id) {
  const AdminResponse aborted = ask("POST", "/v1/transactions/a%2Fb%20c/abort");
  EXPECT_EQ(aborted.status, 200);
  EXPECT_EQ(json::parse(aborted.body).at("transaction").at("client_id"), "orders-app");
  EXPECT_THAT(fake.calls, ElementsAre("abort a/b c"));
  EXPECT_EQ(ask("GET", "/v1/transactions/x/abort").status, 405);
  EXPECT_EQ(ask("POST", "/v1/transactions//abort").status, 400);
  EXPECT_EQ(ask("POST", "/v1/transactions/%FF/abort").status, 400);
  EXPECT_EQ(ask("POST", "/v1/transactions/x/abort?force=true").status, 400);
  EXPECT_EQ(ask("POST", "/v1/transactions/x").status, 404);
  fake.change_error = "none open";
  EXPECT_EQ(ask("POST", "/v1/transactions/x/abort").status, 409);
}

TEST_F(AdminApiTest, what_may_have_meant_a_dry_run_never_flips) {
  for (const char* target : {"?dryrun=true", "?dry_run=yes", "?dry_run", "?dry-run=true", "?DRY_RUN=true",
                             "?dry_run=true&dry_run=false", "?dry_run=%zz", "?dry_run=true&x=1"}) {
    EXPECT_EQ(ask("POST", std::string("/v1/routes/orders/cutover") + target).status, 400) << target;
  }
  EXPECT_EQ(ask("POST", "/v1/routes/orders/cutover", "{\"dry_run\":true}").status, 400);
  EXPECT_THAT(fake.calls, IsEmpty());
}

TEST_F(AdminApiTest, a_recovery_is_done_when_it_is_confirmed) {
  EXPECT_EQ(ask("POST", "/v1/routes/orders/recover").status, 409);
  fake.home_answers = false;
  const AdminResponse plan = ask("POST", "/v1/routes/orders/recover");
  EXPECT_EQ(plan.status, 409);
  const json::value said = json::parse(plan.body);
  EXPECT_EQ(said.at("result"), "unconfirmed");
  EXPECT_EQ(said.at("partitions").at(0).at("virtual_end"), 41'230);
  EXPECT_EQ(said.at("in_doubt").at(0).at("client_id"), "orders-\xef\xbf\xbd");
  EXPECT_EQ(said.at("in_doubt").at(1).at("topic"), json::value());
  EXPECT_EQ(said.at("transactional_ids").at(0), "payments-1");
  EXPECT_EQ(said.at("groups").at(0), "readers");
  const std::string words(said.at("confirm").as_string());
  EXPECT_EQ(ask("POST", "/v1/routes/orders/recover", R"({"confirm":"yes"})").status, 409);
  const AdminResponse done = ask("POST", "/v1/routes/orders/recover", R"({"confirm":")" + words + R"("})");
  EXPECT_EQ(done.status, 200);
  EXPECT_EQ(json::parse(done.body).at("result"), "done");
  EXPECT_THAT(fake.calls, ElementsAre("recover orders", "recover orders", "recover orders 'yes'",
                                      "recover orders '" + words + "'"));
}

TEST_F(AdminApiTest, what_confirms_nothing_never_reaches_the_backend) {
  for (const char* body : {"x", "[]", R"({"confirm":1})", R"({"confirm":"a","force":true})", R"({"yes":"a"})"})
    EXPECT_EQ(ask("POST", "/v1/routes/orders/recover", body).status, 400) << body;
  EXPECT_EQ(ask("POST", "/v1/routes/orders/recover?dry_run=true").status, 400);
  EXPECT_EQ(ask("GET", "/v1/routes/orders/recover").status, 405);
  EXPECT_EQ(ask("POST", "/v1/routes/none/recover").status, 404);
  EXPECT_THAT(fake.calls, IsEmpty());
}

TEST_F(AdminApiTest, a_failed_gate_is_a_conflict) {
  fake.gate_fails = true;
  const AdminResponse failed = ask("POST", "/v1/routes/orders/cutover");
  EXPECT_EQ(failed.status, 409);
  EXPECT_EQ(json::parse(failed.body).at("gates").at(2).at("ok"), false);
  EXPECT_EQ(json::parse(failed.body).at("error"), "gate: replicas in sync");
}

TEST_F(AdminApiTest, routes_that_do_not_exist) {
  EXPECT_EQ(ask("GET", "/v1/routes/nope").status, 404);
  EXPECT_EQ(ask("POST", "/v1/routes/nope/cutover").status, 404);
  EXPECT_EQ(ask("DELETE", "/v1/routes/nope").status, 404);
  EXPECT_THAT(fake.calls, IsEmpty());
}

TEST_F(AdminApiTest, route_names_are_checked) {
  for (const std::string& name : {std::string("a%20b"), std::string("a%2Fb"), std::string("%3Cb%3E"),
                                  std::string(101, 'a'), std::string("a%00")}) {
    EXPECT_EQ(ask("POST", "/v1/routes/" + name + "/cutover").status, 400) << name;
    EXPECT_EQ(ask("PUT", "/v1/routes/" + name, "{\"topics\":[\"a\"]}").status, 400) << name;
  }
  EXPECT_TRUE(valid_route_name(std::string(100, 'a')));
  EXPECT_TRUE(valid_route_name("A.b_c-9"));
  EXPECT_FALSE(valid_route_name(""));
  EXPECT_EQ(ask("GET", "/v1/routes/").status, 400);
}

TEST_F(AdminApiTest, routes_are_defined_and_deleted) {
  EXPECT_EQ(ask("PUT", "/v1/routes/new", "{\"topics\":[\"b\",\"a\",\"b\"]}").status, 200);
  EXPECT_EQ(ask("DELETE", "/v1/routes/orders").status, 200);
  EXPECT_THAT(fake.calls, ElementsAre("define new a b", "delete orders"));
  fake.change_error = "topic a has another home";
  const AdminResponse refused = ask("PUT", "/v1/routes/new", "{\"topics\":[\"a\"]}");
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(error_of(refused), "topic a has another home");
  EXPECT_EQ(ask("PUT", "/v1/routes/default", "{\"topics\":[\"a\"]}").status, 409);
  EXPECT_EQ(ask("DELETE", "/v1/routes/default").status, 409);
}

TEST_F(AdminApiTest, bodies_that_define_no_route) {
  for (const std::string& body :
       {std::string(""), std::string("{"), std::string("[]"), std::string("{}"), std::string("{\"topics\":[]}"),
        std::string("{\"topics\":\"a\"}"), std::string("{\"topics\":[1]}"), std::string("{\"topics\":[\"\"]}"),
        std::string("{\"topics\":[\"..\"]}"), std::string("{\"topics\":[\"a b\"]}"),
        std::string("{\"topics\":[\"a\"],\"x\":1}"), std::string(100'000, '['),
        "{\"topics\":[\"" + std::string(250, 'a') + "\"]}"}) {
    EXPECT_EQ(ask("PUT", "/v1/routes/new", body).status, 400) << body.substr(0, 80);
  }
  AdminRequest form{
      .method = "PUT", .target = "/v1/routes/new", .content_type = "text/plain", .body = "{\"topics\":[\"a\"]}"};
  EXPECT_EQ(ask(form).status, 415);
  form.content_type = "application/json; charset=utf-8";
  EXPECT_EQ(ask(form).status, 200);
}

TEST_F(AdminApiTest, log_level) {
  EXPECT_EQ(ask("PUT", "/v1/log-level", "{\"level\":\"debug\"}").status, 200);
  EXPECT_EQ(ask("PUT", "/v1/log-level", "{\"level\":\"loud\"}").status, 400);
  EXPECT_EQ(ask("PUT", "/v1/log-level", "{\"level\":3}").status, 400);
  EXPECT_EQ(ask("PUT", "/v1/log-level", "debug").status, 400);
  EXPECT_THAT(fake.calls, ElementsAre("log debug", "log loud"));
}

TEST_F(AdminApiTest, wrong_methods_and_paths) {
  EXPECT_EQ(ask("POST", "/v1/status").status, 405);
  EXPECT_EQ(ask("DELETE", "/v1/routes").status, 405);
  EXPECT_EQ(ask("POST", "/healthz").status, 405);
  EXPECT_EQ(ask("POST", "/").status, 405);
  EXPECT_EQ(ask("OPTIONS", "/v1/routes/orders/cutover").status, 405);
  const AdminResponse get = ask("GET", "/v1/routes/orders/cutover");
  EXPECT_EQ(get.status, 405);
  EXPECT_THAT(get.headers, ElementsAre(std::pair<std::string, std::string>("Allow", "POST")));
  for (const char* path : {"/v1", "/v1/", "/v2/status", "/v1/routes/orders/flip", "/v1/routes/orders/cutover/x", "//",
                           "/v1//status", "/../etc/passwd"}) {
    EXPECT_EQ(ask("GET", path).status, 404) << path;
  }
  for (const char* target : {"", "x", "*", "http://localhost/v1/status", "/%", "/%f", "/?a=1&a=2", "/?%"}) {
    EXPECT_EQ(ask("GET", target).status, 400) << target;
  }
  EXPECT_THAT(fake.calls, IsEmpty());
}

TEST_F(AdminApiTest, only_known_host_names) {
  for (const char* host : {"localhost", "LOCALHOST:9644", "127.0.0.1:9644", "127.8.8.8", "[::1]:9644",
                           "gateway.example:80", "Gateway.Example", "[2001:db8::7]:9644"}) {
    EXPECT_EQ(ask({.target = "/v1/status", .host = host}).status, 200) << host;
  }
  for (const char* host : {"", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.9:9644",
                           "[::2]", "[", "]", ":", "x:localhost"}) {
    EXPECT_EQ(ask({.target = "/v1/status", .host = host}).status, 403) << host;
    EXPECT_EQ(ask({.method = "POST", .target = "/v1/routes/orders/cutover", .host = host}).status, 403) << host;
    EXPECT_EQ(ask({.target = "/readyz", .host = host}).status, 200) << host;
  }
  EXPECT_EQ(ask({.target = "/v1/status", .host = "10.0.0.9:9644", .local_address = "10.0.0.9"}).status, 200);
  EXPECT_THAT(fake.calls, IsEmpty());
}

TEST_F(AdminApiTest, another_sites_page_changes_nothing) {
  AdminRequest post{.method = "POST", .target = "/v1/routes/orders/cutover?dry_run=true", .host = "127.0.0.1:9644"};
  EXPECT_EQ(ask(post).status, 200);  // as curl sends it
  AdminRequest own = post;
  own.origin = "http://127.0.0.1:9644";
  own.sec_fetch_site = "same-origin";
  own.custom_header = true;
  EXPECT_EQ(ask(own).status, 200);
  fake.calls.clear();

  std::vector<AdminRequest> foreign(6, own);
  foreign[0].origin = "http://evil.example";
  foreign[1].origin = "null";
  foreign[2].origin = "http://127.0.0.1:8080";  // another program's page on this machine
  foreign[3].sec_fetch_site = "cross-site";
  foreign[4].sec_fetch_site = "same-site";
  foreign[5].custom_header = false;
  for (const AdminRequest& request : foreign) {
    EXPECT_EQ(ask(request).status, 403) << request.origin << request.sec_fetch_site;
  }
  for (AdminRequest request : foreign) {
    request.method = "PUT";
    request.target = "/v1/routes/new";
    request.content_type = "application/json";
    request.body = "{\"topics\":[\"a\"]}";
    EXPECT_EQ(ask(request).status, 403);
    request.method = "DELETE";
    request.target = "/v1/routes/orders";
    EXPECT_EQ(ask(request).status, 403);
    request.method = "PUT";
    request.target = "/v1/log-level";
    EXPECT_EQ(ask(request).status, 403);
  }
  EXPECT_THAT(fake.calls, IsEmpty());
}

TEST_F(AdminApiTest, partitions_are_listed_in_parts) {
  const json::value first = get("/v1/routes/orders?limit=6");
  EXPECT_EQ(first.at("topics").as_array().size(), 1u);
  EXPECT_EQ(first.at("truncated"), true);
  EXPECT_EQ(first.at("topics").at(0).at("topic"), "orders");
  const json::value rest = get("/v1/routes/orders?limit=6&after=orders");
  EXPECT_EQ(rest.at("topics").at(0).at("topic"), "payments");
  EXPECT_EQ(rest.at("truncated"), false);
  // A topic larger than the limit is listed all the same, or nobody would ever see it.
  EXPECT_EQ(get("/v1/routes/orders?limit=1").at("topics").as_array().size(), 1u);
  EXPECT_EQ(get("/v1/routes/orders?topic=payments").at("topics").as_array().size(), 1u);
  EXPECT_EQ(get("/v1/routes/orders?topic=clicks").at("topics").as_array().size(), 0u);
  for (const char* limit : {"0", "-1", "x", "1x", "10001", "99999999999999999999"}) {
    EXPECT_EQ(ask("GET", std::string("/v1/routes/orders?limit=") + limit).status, 400) << limit;
  }
  EXPECT_EQ(ask("GET", "/v1/routes/orders?topics=x").status, 400);
}

TEST_F(AdminApiTest, answers_are_made_where_the_server_wants_them) {
  std::vector<std::function<void()>> queued;
  AdminApi elsewhere(fake, {.run = [&](std::function<void()> work) { queued.push_back(std::move(work)); }});
  int status = 0;
  elsewhere.handle({.target = "/v1/status"}, [&](AdminResponse response) { status = response.status; });
  EXPECT_EQ(status, 0);
  ASSERT_EQ(queued.size(), 1u);
  queued[0]();
  EXPECT_EQ(status, 200);
}

}  // namespace
}  // namespace crossover::src
