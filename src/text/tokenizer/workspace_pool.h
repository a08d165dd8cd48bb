#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace titan::text {

/// Hands out workspaces: as many exist as calls have ever run at once. Safe to use from several
/// threads.
template <class Workspace>
class WorkspacePool {
 public:
  /// A workspace for the length of one call.
  class Borrowed {
   public:
    explicit Borrowed(WorkspacePool& pool) : pool_(pool) {
      const std::lock_guard lock(pool_.mutex_);
      if (pool_.idle_.empty()) {
        workspace_ = std::make_unique<Workspace>();
      } else {
        workspace_ = std::move(pool_.idle_.back());
        pool_.idle_.pop_back();
      }
    }
    ~Borrowed() {
      const std::lock_guard lock(pool_.mutex_);
      pool_.idle_.push_back(std::move(workspace_));
    }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;
    Workspace& operator*() { return *workspace_; }

   private:
    WorkspacePool& pool_;
    std::unique_ptr<Workspace> workspace_;
  };

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace titan::text
