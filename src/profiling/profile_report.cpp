#include "titan/profiling/profile_report.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>

#include "titan/base/errors.h"
#include "titan/tools/number_text.h"
#include "titan/tools/text_table.h"

namespace titan::profiling {

namespace {

using Json = nlohmann::ordered_json;
using tools::fixed;
using tools::Row;

constexpr double kGiga = 1e9;

void add(ProfileRow& row, const OperatorCall& call) {
  ++row.calls;
  row.seconds += call.seconds;
  double& part = call.part == "forward"     ? row.forward
                 : call.part == "again"     ? row.again
                 : call.part == "backward"  ? row.backward
                 : call.part == "optimizer" ? row.optimizer
                                            : row.rest;
  part += call.seconds;
  row.cost.flops += call.cost.flops;
  row.cost.bytes += call.cost.bytes;
}

void add(ProfileRow& sum, const ProfileRow& row) {
  sum.calls += row.calls;
  for (double ProfileRow::*seconds :
       {&ProfileRow::seconds, &ProfileRow::forward, &ProfileRow::again, &ProfileRow::backward,
        &ProfileRow::optimizer, &ProfileRow::rest}) {
    sum.*seconds += row.*seconds;
  }
  sum.cost.flops += row.cost.flops;
  sum.cost.bytes += row.cost.bytes;
}

template <class NameOf>
std::vector<ProfileRow> grouped(const StepRecord& step, const NameOf& name_of) {
  std::map<std::string, ProfileRow> by_name;
  for (const OperatorCall& call : step.calls) add(by_name[name_of(call)], call);
  std::vector<ProfileRow> rows;
  for (auto& [name, row] : by_name) {
    row.name = name;
    rows.push_back(std::move(row));
  }
  std::ranges::sort(rows, std::ranges::greater(), &ProfileRow::seconds);
  return rows;
}

/// "layers.3.attention" to "layers.*.attention".
std::string place_of(const std::string& module) {
  if (module.empty()) return "(no module)";
  std::string place;
  for (std::size_t begin = 0; begin <= module.size();) {
    const std::size_t end = std::min(module.find('.', begin), module.size());
    const std::string part = module.substr(begin, end - begin);
    const bool number = !part.empty() && std::ranges::all_of(part, [](unsigned char c) {
      return std::isdigit(c) != 0;
    });
    place += concat(begin == 0 ? "" : ".", number ? "*" : part);
    begin = end + 1;
  }
  return place;
}

std::string ms(double seconds) { return seconds == 0 ? "" : fixed(seconds * 1e3, 2); }
std::string percent(double part, double whole) {
  return whole > 0 ? fixed(100 * part / whole, 1) + "%" : "";
}
std::string rate(double amount, double seconds) {
  return amount > 0 && seconds > 0 ? fixed(amount / seconds / kGiga, 1) : "";
}

Row cells(const ProfileRow& row, const ProfileReport& report) {
  const double flops = row.cost.flops;
  return {row.name,
          std::to_string(row.calls),
          ms(row.seconds),
          percent(row.seconds, report.step.seconds),
          ms(row.forward),
          ms(row.again),
          ms(row.backward),
          ms(row.optimizer),
          ms(row.rest),
          flops > 0 ? fixed(flops / kGiga, 3) : "",
          rate(flops, row.seconds),
          flops > 0 ? percent(flops / std::max(row.seconds, 1e-12), report.machine.flops) : "",
          fixed(static_cast<double>(row.cost.bytes) / 1e6, 1),
          rate(static_cast<double>(row.cost.bytes), row.seconds)};
}

std::string rows_table(const std::string& first, const std::vector<ProfileRow>& rows,
                       const ProfileReport& report) {
  std::vector<Row> table = {{first, "calls", "ms", "of step", "forward", "again", "backward",
                             "optimizer", "rest", "GFLOP", "GFLOP/s", "of peak", "MB", "GB/s"}};
  constexpr double kShown = 5e-4;  // of the step; what is less stands in one row
  ProfileRow others;
  std::int64_t count = 0;
  for (const ProfileRow& row : rows) {
    if (row.seconds >= kShown * report.step.seconds) {
      table.push_back(cells(row, report));
    } else {
      ++count;
      add(others, row);
    }
  }
  others.name = concat("(", count, " others)");
  if (count > 0) table.push_back(cells(others, report));
  table.push_back(cells(sum_of(report.step), report));
  return tools::aligned(table, 1);
}

std::string contest_table(const ProfileReport& report) {
  std::vector<Row> table = {
      {"products and attention", "best by", "calls", "ms", "GFLOP/s", "at best", "GFLOP/s"}};
  for (const Contest& one : report.contests) {
    table.push_back({one.what, one.best, std::to_string(one.calls), ms(one.seconds),
                     rate(one.flops, one.seconds), ms(one.best_seconds),
                     rate(one.flops, one.best_seconds)});
  }
  return tools::aligned(table, 2);
}

Json to_json(const ProfileRow& row) {
  return {{"name", row.name},
          {"calls", row.calls},
          {"seconds", row.seconds},
          {"by_part",
           {{"forward", row.forward},
            {"again", row.again},
            {"backward", row.backward},
            {"optimizer", row.optimizer},
            {"rest", row.rest}}},
          {"flops", row.cost.flops},
          {"bytes", row.cost.bytes}};
}

Json to_json(const std::vector<ProfileRow>& rows) {
  Json list = Json::array();
  for (const ProfileRow& row : rows) list.push_back(to_json(row));
  return list;
}

std::string shapes_of(const OperatorCall& call) {
  std::string text;
  for (const TensorLook& look : call.inputs) {
    text += concat(text.empty() ? "[" : ", [", joined(look.sizes, ", "), "] ",
                   c10::toString(look.dtype));
  }
  return text;
}

}  // namespace

std::vector<ProfileRow> by_operator(const StepRecord& step) {
  return grouped(step, [](const OperatorCall& call) { return call.name; });
}

std::vector<ProfileRow> by_module(const StepRecord& step) {
  return grouped(step, [](const OperatorCall& call) { return place_of(call.module); });
}

ProfileRow sum_of(const StepRecord& step) {
  ProfileRow sum;
  sum.name = "all operators";
  for (const OperatorCall& call : step.calls) add(sum, call);
  return sum;
}

std::string profile_table(const ProfileReport& report) {
  const double whole = report.step.seconds;
  const double floor = floor_seconds(report.contests);
  const double between = whole - sum_of(report.step).seconds;
  const MachineRates& machine = report.machine;
  return concat(report.job, ": step ", report.step.step, " took ", ms(whole), " ms on ",
                machine.threads, machine.threads == 1 ? " thread" : " threads", ", of which ",
                ms(between), " ms between operators\nThis machine: ", rate(machine.flops, 1),
                " GFLOP/s (", machine.best_library, ", 1024 x 1024 x 1024, fp32), ",
                rate(machine.bytes, 1), " GB/s (copy)\n\n",
                rows_table("operator", by_operator(report.step), report), "\n",
                rows_table("module", by_module(report.step), report), "\n", contest_table(report),
                "\nThe floor, products and attention at their best, is ", ms(floor),
                " ms; the step reaches ", percent(floor, whole), " of it.\n");
}

std::string profile_json(const ProfileReport& report) {
  Json json = {{"job", report.job},
               {"step", report.step.step},
               {"seconds", report.step.seconds},
               {"threads", report.machine.threads},
               {"machine",
                {{"flops_per_second", report.machine.flops},
                 {"bytes_per_second", report.machine.bytes},
                 {"library", report.machine.best_library}}},
               {"floor_seconds", floor_seconds(report.contests)},
               {"all", to_json(sum_of(report.step))},
               {"operators", to_json(by_operator(report.step))},
               {"modules", to_json(by_module(report.step))},
               {"contests", Json::array()}};
  for (const Contest& one : report.contests) {
    json["contests"].push_back({{"what", one.what},
                                {"calls", one.calls},
                                {"seconds", one.seconds},
                                {"flops", one.flops},
                                {"best_seconds", one.best_seconds},
                                {"best", one.best}});
  }
  return json.dump(2) + "\n";
}

std::string profile_trace(const ProfileReport& report) {
  Json events = Json::array();
  for (const OperatorCall& call : report.step.calls) {
    events.push_back({{"ph", "X"},
                      {"pid", 0},
                      {"tid", 0},
                      {"cat", call.part},
                      {"name", call.name},
                      {"ts", call.start * 1e6},
                      {"dur", call.seconds * 1e6},
                      {"args",
                       {{"module", call.module},
                        {"inputs", shapes_of(call)},
                        {"flops", call.cost.flops},
                        {"bytes", call.cost.bytes}}}});
  }
  return Json({{"displayTimeUnit", "ms"}, {"traceEvents", events}}).dump() + "\n";
}

}  // namespace titan::profiling
