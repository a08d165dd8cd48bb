#include "components/metrics/background_sink.h"

#include <gtest/gtest.h>

#include <future>
#include <vector>

#include "titan/base/errors.h"

namespace titan::components {
namespace {

/// Keeps the steps outside itself; waits at a gate, and fails, where it is told to.
struct Notebook {
  std::vector<std::int64_t> steps;  // a validation's is negative
  std::shared_future<void> gate;
  std::int64_t fails_at = 0;
  int closed = 0;
};

class NotebookSink : public MetricsSink {
 public:
  explicit NotebookSink(Notebook& notebook) : notebook_(notebook) {}
  const std::string& name() const override { return name_; }
  void log(const StepReport& report) override { write(report.step.step); }
  void log_validation(const ValidationReport& report) override { write(-report.validation.step); }
  void close() override { ++notebook_.closed; }

 private:
  void write(std::int64_t step) {
    if (notebook_.gate.valid()) notebook_.gate.wait();
    if (step == notebook_.fails_at) throw RunError("the notebook is full");
    notebook_.steps.push_back(step);
  }

  Notebook& notebook_;
  std::string name_ = "notebook";
};

StepReport of_step(std::int64_t step) {
  StepReport report;
  report.step.step = step;
  return report;
}

ValidationReport of_validation(std::int64_t step) {
  ValidationReport report;
  report.validation.step = step;
  return report;
}

TEST(BackgroundSink, ASlowOneHoldsUpNobodyAndGetsAllInOrder) {
  Notebook notebook;
  std::promise<void> gate;
  notebook.gate = gate.get_future().share();
  BackgroundSink sink(std::make_unique<NotebookSink>(notebook));
  sink.log(of_step(1));
  sink.log_validation(of_validation(1));
  sink.log(of_step(2));
  EXPECT_TRUE(notebook.steps.empty());
  gate.set_value();
  sink.close();
  EXPECT_EQ(notebook.steps, (std::vector<std::int64_t>{1, -1, 2}));
  EXPECT_EQ(notebook.closed, 1);
}

/// As when an error ends the run.
TEST(BackgroundSink, WithoutACloseNothingIsLost) {
  Notebook notebook;
  {
    BackgroundSink sink(std::make_unique<NotebookSink>(notebook));
    for (std::int64_t step = 1; step <= 50; ++step) sink.log(of_step(step));
  }
  EXPECT_EQ(notebook.steps.size(), 50U);
  EXPECT_EQ(notebook.closed, 0);
}

TEST(BackgroundSink, TheNextCallTellsOfAFailureAndIsRecorded) {
  Notebook notebook;
  notebook.fails_at = 1;
  BackgroundSink sink(std::make_unique<NotebookSink>(notebook));
  std::int64_t told_at = 0;
  sink.log(of_step(1));
  // Which call is the next one that the failure has come before is the scheduler's.
  for (std::int64_t step = 2; told_at == 0 && step < 100000; ++step) {
    try {
      sink.log(of_step(step));
    } catch (const RunError& error) {
      EXPECT_STREQ(error.what(), "the notebook is full");
      told_at = step;
    }
  }
  EXPECT_GT(told_at, 1);
  EXPECT_NO_THROW(sink.log(of_step(told_at + 1)));
  sink.close();
  ASSERT_FALSE(notebook.steps.empty());
  EXPECT_EQ(notebook.steps.front(), 2);
  EXPECT_EQ(notebook.steps.back(), told_at + 1);
}

}  // namespace
}  // namespace titan::components
