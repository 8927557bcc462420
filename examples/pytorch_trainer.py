"""A PyTorch model, federated: python pytorch_trainer.py 127.0.0.1:7700 [an address to join]. Needs torch, which pyfl itself does not."""

import sys

import torch

import pyfl

model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
x = torch.randn(200, 3, generator=torch.Generator().manual_seed(len(sys.argv)))
y = (x.sum(1, keepdim=True) > 0).float()


class Torch:
    def initial_weights(self):
        return [p.detach().numpy().copy() for p in model.parameters()]

    def train(self, weights, round):
        torch.nn.utils.vector_to_parameters(torch.cat([torch.from_numpy(w).flatten() for w in weights]), model.parameters())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), y)
        loss.backward(), optimizer.step(), optimizer.zero_grad()
        return pyfl.TrainResult(self.initial_weights(), samples=len(x), metrics={"loss": loss.item()})


with pyfl.Peer(listen=sys.argv[1], join=sys.argv[2:]) as peer:
    print(f"model {peer.run(Torch(), rounds=5).rounds[-1].digest}")
